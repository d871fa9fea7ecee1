"""The notation of transactions on the command line.

Conditions: FIELD(KEY) OPERATOR OPERAND with FIELD one of value, version, create, mod and OPERATOR
one of =, !=, <, >. Operations: put KEY VALUE, get KEY, del KEY. Keys and values with blanks,
brackets or operators in them are put in quotes.
"""

from __future__ import annotations

import re
import shlex
from typing import Literal, cast

from coord.cli.exits import USAGE, CommandError

Relation = Literal["=", "!=", "<", ">"]

CONDITION = re.compile(
    r"""\s*(?P<field>value|version|create|mod)
    \(\s*(?P<key>"(?:[^"\\]|\\.)*"|'[^']*'|[^()"'\s]+)\s*\)
    \s*(?P<operator>!=|=|<|>)\s*
    (?P<operand>"(?:[^"\\]|\\.)*"|'[^']*'|[^"'\s]+)\s*""",
    re.VERBOSE,
)
ARGUMENTS = {"put": 2, "get": 1, "del": 1}


def parse_condition(text: str) -> tuple[str, str, Relation, str]:
    """(field, key, operator, operand) of a condition; a usage error when it is none."""
    found = CONDITION.fullmatch(text)
    if not found:
        raise CommandError(
            f"condition {text!r} is not like 'value(KEY) = TEXT' or 'mod(KEY) > 7'", USAGE
        )
    field, key, operator, operand = found.group("field", "key", "operator", "operand")
    operand = _unquote(operand)
    if field != "value" and not re.fullmatch(r"[0-9]{1,18}", operand):
        raise CommandError(f"condition {text!r}: {field} is compared with a whole number", USAGE)
    return field, _unquote(key), cast(Relation, operator), operand


def parse_operation(text: str) -> list[str]:
    """Name and arguments of an operation; a usage error when it is none."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise CommandError(f"operation {text!r}: {error}", USAGE) from error
    if not words or ARGUMENTS.get(words[0]) != len(words) - 1:
        raise CommandError(
            f"operation {text!r} is not 'put KEY VALUE', 'get KEY' or 'del KEY'", USAGE
        )
    return words


def _unquote(text: str) -> str:
    if text[0] == "'":
        return text[1:-1]
    return re.sub(r"\\(.)", r"\1", text[1:-1]) if text[0] == '"' else text
