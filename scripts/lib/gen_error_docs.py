"""Writes the tables of docs/errors.md from the reasons in proto/coord/v1/errors.proto.

With --verify it only says whether the file is up to date."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import grpc

from coord.client.transport.errors import REASONS
from coord.pb import errors_pb2

ROOT = Path(__file__).resolve().parents[2]
PROTO = ROOT / "proto" / "coord" / "v1" / "errors.proto"
PAGE = ROOT / "docs" / "errors.md"
HEADING = "## Reasons\n"
_PROPERTIES: Any = errors_pb2.properties
_LINE = re.compile(r"^  (?:// ?(?P<remark>.*)|REASON_(?P<name>\w+) = (?P<number>\d+).*)$")
_GROUP = "---- "
_TITLES = "| reason | meaning | code | did it happen? | again? | Python |"
_RULE = "| --- | --- | --- | --- | --- | --- |"


class Row(NamedTuple):
    """A reason as the proto file tells of it; or the title of a group, if it has no `name`."""

    name: str
    text: str


def rows(proto: str) -> Iterator[Row]:
    """The groups and reasons of the proto file, in order."""
    remark: list[str] = []
    for line in proto.partition("enum Reason {\n")[2].splitlines():
        found = _LINE.match(line)
        if found is None:
            remark = []
        elif found["name"]:
            if int(found["number"]):
                yield Row(found["name"], " ".join(remark))
            remark = []
        elif found["remark"].startswith(_GROUP):
            yield Row("", found["remark"].removeprefix(_GROUP))
        else:
            remark.append(found["remark"])


def page(current: str, proto: str) -> str:
    """The page with its tables as they should be."""
    written = current.partition(HEADING)[0].rstrip("\n")
    lines = [written, "", HEADING.rstrip("\n")]
    for row in rows(proto):
        if row.name:
            lines.append(_row(row))
        else:
            lines += ["", f"### {row.text}", "", _TITLES, _RULE]
    return "\n".join(lines) + "\n"


def _row(row: Row) -> str:
    value = errors_pb2.Reason.DESCRIPTOR.values_by_name[f"REASON_{row.name}"]
    about = value.GetOptions().Extensions[_PROPERTIES]
    code = next(one.name for one in grpc.StatusCode if one.value[0] == about.code)
    happened, again = "perhaps" if about.indefinite else "no", "yes" if about.retryable else "no"
    kind = REASONS[row.name][0].__name__
    return f"| `{row.name}` | {row.text} | `{code}` | {happened} | {again} | `{kind}` |"


def main() -> int:
    current = PAGE.read_text(encoding="utf-8")
    wanted = page(current, PROTO.read_text(encoding="utf-8"))
    if "--verify" in sys.argv[1:]:
        if current != wanted:
            sys.stderr.write("docs/errors.md is out of date; run scripts/gen_docs\n")
        return int(current != wanted)
    PAGE.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
