"""What names of nodes and addresses look like, in configurations and in changes of the members."""

from __future__ import annotations

import re

NAME_RULE = "1 to 64 letters, digits, '.', '_' or '-', beginning with a letter or a digit"
ADDRESS_RULE = "host:port, port 1 to 65535"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_ADDRESS = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]{1,253}):(?P<port>\d{1,5})")


def checked_name(value: str) -> str:
    """The name; ValueError if it is not one."""
    if not _NAME.fullmatch(value):
        raise ValueError("not a name")
    return value


def checked_address(value: str) -> str:
    """The address; ValueError if it is not one."""
    found = _ADDRESS.fullmatch(value)
    if not found or not 1 <= int(found["port"]) <= 65_535:
        raise ValueError("not an address")
    return value
