"""The small pieces that pages are made of: HTML texts. What is given as text is escaped."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape

from chaos.histories.verdicts import Verdict, word
from chaos.report.style import CSS, NARROW_CSS
from chaos.report.svg import NARROW, WIDTH


def page(title: str, *parts: str) -> str:
    """A whole page that fetches nothing."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{CSS}{NARROW_CSS}</style></head><body><main>"
        f"{''.join(parts)}</main></body></html>\n"
    )


def figure_row(figures: Mapping[str, str]) -> str:
    """Large figures side by side, by what they are."""
    shown = "".join(
        f"<div><b>{escape(value)}</b><span>{escape(name)}</span></div>"
        for name, value in figures.items()
    )
    return f'<div class="figures">{shown}</div>'


def plot(draw: Callable[[int], str]) -> str:
    """A plot as wide as the page, and another one for a narrow page."""
    wide, narrow = draw(WIDTH), draw(NARROW)
    return f'<div class="wide">{wide}</div><div class="narrow">{narrow}</div>'


def section(title: str, *parts: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{''.join(parts)}</section>"


def words(text: str) -> str:
    return f'<p class="soft">{escape(text)}</p>'


def badge(valid: Verdict, *, small: bool = False) -> str:
    kind = f"badge {word(valid)}{' small' if small else ''}"
    return f'<span class="{kind}">{escape(word(valid))}</span>'


def milliseconds(ms: float) -> str:
    return f"{ms / 1_000:.2f} s" if ms >= 1_000 else f"{ms:.1f} ms" if ms < 10 else f"{ms:.0f} ms"


def table(head: Sequence[str], rows: Iterable[Sequence[str]], numeric: Sequence[int] = ()) -> str:
    """Cells are HTML already."""

    def row(cells: Sequence[str], tag: str) -> str:
        shown = []
        for n, cell in enumerate(cells):
            kind = " class=num" if n in numeric else ""
            label = f' data-label="{escape(head[n])}"' if tag == "td" else ""
            inside = f"<div>{cell}</div>" if tag == "td" and cell else cell
            shown.append(f"<{tag}{kind}{label}>{inside}</{tag}>")
        return f"<tr>{''.join(shown)}</tr>"

    top = row([escape(one) for one in head], "th")
    body = "".join(row(cells, "td") for cells in rows)
    return f'<div class="scroll"><table><thead>{top}</thead><tbody>{body}</tbody></table></div>'
