"""ARCHITECTURE.md: what it names exists, its rooms are those of the arrows, and it stays short."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.architecture.test_import_arrows import PACKAGES, ROOMS

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
MAX_WORDS = 1_500
NOTHING = "–"
ROW = re.compile(r"^\| `([\w.]+)` \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)

Table = dict[str, frozenset[str]]


def in_backticks(text: str) -> list[str]:
    return re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))


def paths(text: str) -> list[str]:
    """The paths and file names in backticks, and the targets of links."""
    shape = re.compile(r"\S*/\S*|\w+\.(py|md|toml)")
    named = [word for word in in_backticks(text) if shape.fullmatch(word)]
    return named + re.findall(r"\]\(([^)#:]+)\)", text)


def is_there(path: str, room: str = "") -> bool:
    """A folder named in the row of a room may be meant from there."""
    places = [ROOT, *([ROOT.joinpath(*room.split("."))] if room else [])]
    found = (place / path for place in places)
    return any(p.is_dir() if path.endswith("/") else p.exists() for p in found)


def missing_paths(text: str) -> list[str]:
    """Paths that do not exist."""
    missing = []
    for line in re.sub(r"```.*?```", "", text, flags=re.DOTALL).splitlines():
        row = ROW.match(line)
        room = row[1] if row and row[1] in ROOMS else ""
        missing += [path for path in paths(line) if not is_there(path, room)]
    return missing


def missing_modules(text: str) -> list[str]:
    """Dotted names of this project that no module or package has."""
    named = [word for word in in_backticks(text) if re.fullmatch(r"\w+(\.\w+)+", word)]
    ours = [name for name in named if name.split(".")[0] in PACKAGES]
    return [
        name
        for name in ours
        if not (path := ROOT.joinpath(*name.split("."))).is_dir()
        and not path.with_suffix(".py").is_file()
    ]


def rooms_table(text: str) -> Table:
    """The table under "Rooms": each room and what it may import."""
    section = re.search(r"^## Rooms\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert section is not None, "there is no section called Rooms"
    table: Table = {}
    lines = [line for line in section[1].splitlines() if line.startswith("|")]
    for line in lines[2:]:
        row = ROW.match(line)
        assert row is not None, f"this row is not `room` | text | `name`, `name`: {line}"
        room, _, may_import = row.groups()
        assert room not in table, f"{room} has two rows"
        names = [] if may_import == NOTHING else may_import.split(", ")
        assert all(re.fullmatch(r"`[\w.]+`", name) for name in names), f"{room}: {may_import}"
        table[room] = frozenset(name.strip("`") for name in names)
    return table


def differences(table: Mapping[str, frozenset[str]]) -> list[str]:
    """In what the table and the arrows that the test of the imports holds are not the same."""
    arrows = {room: frozenset(names) for room, names in ROOMS.items()}
    return [
        f"{room}: the page has {sorted(page) if page is not None else 'no row'}, "
        f"ROOMS has {sorted(held) if held is not None else 'no such room'}"
        for room in sorted({*table, *arrows})
        if (page := table.get(room)) != (held := arrows.get(room))
    ]


def is_short(text: str) -> bool:
    return len(text.split()) <= MAX_WORDS


def test_every_path_exists() -> None:
    assert len(paths(PAGE)) > 40
    assert missing_paths(PAGE) == []


def test_every_path_of_the_page_for_contributors_exists() -> None:
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert len(paths(page)) > 40
    assert missing_paths(page) == []


def test_every_module_exists() -> None:
    assert missing_modules(PAGE) == []


def test_the_rooms_are_those_of_the_arrows() -> None:
    assert differences(rooms_table(PAGE)) == []


def test_the_page_is_short() -> None:
    assert is_short(PAGE), f"{len(PAGE.split())} words"


def test_a_missing_path_is_found() -> None:
    gone = "`coord/core/state.py`, `coord/core/gone.py`, `gone.py` and [a page](docs/gone.md)"
    assert missing_paths(gone) == ["coord/core/gone.py", "gone.py", "docs/gone.md"]
    assert missing_paths("`coord/core/*.py`, `coord/core/state.py/`") == [
        "coord/core/*.py",
        "coord/core/state.py/",
    ]


def test_a_folder_is_looked_for_in_the_room_of_its_row_only() -> None:
    row = "| `coord.rpc` | `services/`, `gone/` | – |"
    assert missing_paths(row) == ["gone/"]
    assert missing_paths("`services/`") == ["services/"]


def test_a_missing_module_is_found() -> None:
    assert missing_modules("`coord.core`, `coord.core.state`, `coord.gone`") == ["coord.gone"]


def test_a_room_that_is_missing_new_or_different_is_found() -> None:
    table = rooms_table(PAGE)
    without = {room: names for room, names in table.items() if room != "coord.codec"}
    wider = table | {"coord.codec": table["coord.codec"] | {"coord.rpc"}}
    other = table | {"coord.gone": frozenset()}
    assert [text.split(":")[0] for text in differences(without)] == ["coord.codec"]
    assert [text.split(":")[0] for text in differences(wider)] == ["coord.codec"]
    assert [text.split(":")[0] for text in differences(other)] == ["coord.gone"]


def test_rows_are_read_from_the_section_of_the_rooms_only() -> None:
    page = (
        "## Rooms\n\n| room | what is in it | may import |\n| --- | --- | --- |\n"
        "| `a` | one | – |\n| `b.c` | two | `a`, `d` |\n\n## Other\n\n| `e` | three | – |\n"
    )
    assert rooms_table(page) == {"a": frozenset(), "b.c": frozenset({"a", "d"})}


@pytest.mark.parametrize("row", ["| a | one | – |", "| `a` | one | b |", "| `a` | one |"])
def test_a_row_that_cannot_be_compared_is_found(row: str) -> None:
    with pytest.raises(AssertionError):
        rooms_table(f"## Rooms\n\n| room | what | may import |\n| --- | --- | --- |\n{row}\n")


def test_a_long_page_is_found() -> None:
    assert is_short("word " * MAX_WORDS)
    assert not is_short("word " * (MAX_WORDS + 1))
