"""Tables that fit: nothing is cut where no terminal reads, nothing breaks where a narrow one does.

In a terminal, the columns that can wrap give way first, then those that matter least are left out,
which is said below the table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from coord.terminal.text import printable, printable_lines

GAP = "  "
# A longer cell in a pipe does not widen its column: one large value must not pad every line.
PIPE_COLUMN = 60
LONGEST_CELL = 240  # in a terminal; a list is no place for a megabyte
NARROWEST_WRAP = 14


@dataclass(frozen=True, slots=True)
class Column:
    """`rank` 0: always shown; else the higher, the sooner it is left out. `wraps`: its cells may
    take several lines."""

    name: str
    rank: int = 0
    wraps: bool = False


class Lines(str):
    """A text that is shown as the several lines that it has."""

    __slots__ = ()


class Printer:
    """Writes tables to standard output. `width` None: as the terminal has it, unbounded in a
    pipe."""

    def __init__(self, styles: Mapping[str, str] | None = None, width: int | None = None) -> None:
        self.console = Console(highlight=False, markup=False, emoji=False)
        self._styles = styles or {}
        if width is None and self.console.file.isatty():
            width = self.console.width
        self.width = width

    def line(self, text: str | Text) -> None:
        """One line, however long."""
        shown = Text(printable(text)) if isinstance(text, str) else text
        if self.console.is_terminal:
            self.console.print(shown, soft_wrap=True)
        else:
            self.console.file.write(f"{shown.plain}\n")

    def table(
        self, columns: Sequence[Column | str], rows: Iterable[Sequence[object]], nothing: str = ""
    ) -> None:
        """A heading and a line for each row, or `nothing` where there is none."""
        cells = [[self._cell(value) for value in row] for row in rows]
        if not cells:
            self.line(nothing or "nothing")
            return
        heads = [one if isinstance(one, Column) else Column(one) for one in columns]
        kept, widths = _fit(heads, cells, self.width)
        shown = [[Text(heads[n].name.upper(), style="bold") for n in kept]]
        shown += [[row[n] for n in kept] for row in cells]
        for row in shown:
            self._row(row, widths)
        left_out = [head.name for n, head in enumerate(heads) if n not in kept]
        if left_out:
            note = f"(not shown in {self.width} columns: {', '.join(left_out)}; -o json has all)"
            self.line(Text(note, style="dim"))

    def facts(self, facts: Mapping[str, object]) -> None:
        """One thing: its properties, one below the other; empty ones are left out."""
        shown = {name: value for name, value in facts.items() if value not in {"", None}}
        indent = max((cell_len(name) for name in shown), default=0)
        for name, value in shown.items():
            head = Text(name.ljust(indent), style="bold")
            for line in self._value_lines(value, indent):
                self.line(Text(GAP).join([head, line]))
                head = Text(" " * indent)

    def _value_lines(self, value: object, indent: int) -> list[Text]:
        texts = (
            [Text(line) for line in printable_lines(value)]
            if isinstance(value, Lines)
            else [self._text(value)]
        )
        if self.width is None:
            return texts
        width = max(NARROWEST_WRAP, self.width - indent - len(GAP))
        return [line for text in texts for line in self._wrapped(text, width)]

    def _row(self, cells: Sequence[Text], widths: Sequence[int]) -> None:
        wrapped = [
            [cell] if self.width is None else self._wrapped(cell, width)
            for cell, width in zip(cells, widths, strict=True)
        ]
        for n in range(max(len(lines) for lines in wrapped)):
            parts = [lines[n] if n < len(lines) else Text("") for lines in wrapped]
            line = Text(GAP).join(
                [_padded(part, width) for part, width in zip(parts, widths, strict=True)]
            )
            line.rstrip()
            self.line(line)

    def _wrapped(self, text: Text, width: int) -> list[Text]:
        if text.cell_len <= width:
            return [text]
        lines = list(text.wrap(self.console, width, overflow="fold"))
        for line in lines:
            line.rstrip()
        return lines

    def _cell(self, value: object) -> Text:
        text = self._text(value)
        if self.width is not None and len(text) > LONGEST_CELL:
            return Text(f"{text.plain[: LONGEST_CELL - 1]}…")
        return text

    def _text(self, value: object) -> Text:
        text = "-" if value in {"", None} else printable(str(value))
        return Text(text, style=self._styles.get(text, ""))


def _fit(
    heads: Sequence[Column], cells: Sequence[Sequence[Text]], width: int | None
) -> tuple[list[int], list[int]]:
    """The columns that are shown, and how wide each is."""
    natural = [
        max(cell_len(head.name), *(row[n].cell_len for row in cells))
        for n, head in enumerate(heads)
    ]
    kept = list(range(len(heads)))
    if width is None:
        return kept, [min(natural[n], PIPE_COLUMN) for n in kept]
    while True:
        floors = [_floor(heads[n], natural[n]) for n in kept]
        room = width - len(GAP) * (len(kept) - 1)
        droppable = [n for n in kept if heads[n].rank]
        if sum(floors) <= room or not droppable:
            return kept, _widened(floors, [natural[n] for n in kept], room)
        kept.remove(max(droppable, key=lambda n: (heads[n].rank, n)))


def _floor(head: Column, natural: int) -> int:
    """How narrow a column can be."""
    if not head.wraps:
        return natural
    return min(natural, max(cell_len(head.name), NARROWEST_WRAP))


def _widened(floors: Sequence[int], natural: Sequence[int], room: int) -> list[int]:
    """What is left of the room goes to the columns that are narrower than they would be."""
    widths = list(floors)
    left = room - sum(widths)
    while left > 0:
        wanting = [n for n, width in enumerate(widths) if width < natural[n]]
        if not wanting:
            break
        share = max(1, left // len(wanting))
        for n in wanting:
            more = min(share, natural[n] - widths[n], left)
            widths[n] += more
            left -= more
    return widths


def _padded(text: Text, width: int) -> Text:
    padded = text.copy()
    padded.append(" " * (width - text.cell_len))
    return padded
