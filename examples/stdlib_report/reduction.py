"""From the figures of modules to those of packages, and from those to the report.

Pure functions of their arguments: whoever calls them, in whatever order the figures arrived,
the text is the same byte for byte.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from examples.stdlib_report.analysis import Figures
from examples.stdlib_report.import_graph import Graph, cycles, importers, reachable

Summary = dict[str, Any]

SUMS = (
    "lines",
    "code_lines",
    "comment_lines",
    "functions",
    "classes",
    "documentable",
    "documented",
    "complexity",
)
RANKED_PACKAGES = 40
RANKED_FUNCTIONS = 25
RANKED_IMPORTS = 20
NAMED_IN_GROUP = 12


def reduce_package(package: str, modules: Iterable[Figures]) -> Summary:
    """Adds up the modules of one package, and keeps its most remarkable functions."""
    ordered = sorted(modules, key=lambda figures: figures["module"])
    summary: Summary = {name: sum(figures[name] for figures in ordered) for name in SUMS}
    summary["package"] = package
    summary["modules"] = len(ordered)
    summary["unparsed"] = [f["module"] for f in ordered if not f["parsed"]]
    summary["imports"] = sorted({name for f in ordered for name in f["imports"]} - {package})
    summary["most_complex"] = _top(ordered, "most_complex", "complexity")
    summary["longest"] = _top(ordered, "longest", "lines")
    return summary


def render_report(packages: Iterable[Summary], python_version: str) -> str:
    """The report as Markdown."""
    ordered = sorted(packages, key=lambda summary: summary["package"])
    sections = [
        _heading(ordered, python_version),
        _ranking(ordered),
        _functions("Most complex functions", "complexity", ordered, "most_complex"),
        _functions("Longest functions", "lines", ordered, "longest"),
        _import_graph(ordered),
    ]
    return "\n".join("\n".join(lines) + "\n" for lines in sections)


def _top(modules: Sequence[Figures], what: str, unit: str) -> list[list[Any]]:
    """[number, module.function] of the leading functions, the largest number first."""
    found = [
        [f[what][unit], f"{f['module']}.{f[what]['name']}"] for f in modules if f[what]["name"]
    ]
    return sorted(found, key=lambda item: (-item[0], item[1]))[:RANKED_FUNCTIONS]


def _heading(packages: Sequence[Summary], python_version: str) -> list[str]:
    total = Counter({name: sum(p[name] for p in packages) for name in (*SUMS, "modules")})
    lines = [
        f"# The standard library of Python {python_version}",
        "",
        f"- {total['modules']} modules in {len(packages)} packages",
        f"- {total['lines']} lines: {total['code_lines']} with code,"
        f" {total['comment_lines']} with a comment",
        f"- {total['functions']} functions in all, {total['classes']} classes",
        f"- {_percent(total['documented'], total['documentable'])} of the public modules, classes"
        " and functions have a docstring",
        f"- mean cyclomatic complexity {_hundredths(total['complexity'], total['functions'])}",
    ]
    unparsed = [name for p in packages for name in p["unparsed"]]
    if unparsed:
        lines.append(f"- not parsed: {', '.join(unparsed)}")
    return lines


def _ranking(packages: Sequence[Summary]) -> list[str]:
    ranked = sorted(packages, key=lambda p: (-p["complexity"], p["package"]))
    rows = [
        (
            p["package"],
            p["modules"],
            p["code_lines"],
            p["functions"],
            p["classes"],
            p["complexity"],
            _hundredths(p["complexity"], p["functions"]),
            _percent(p["documented"], p["documentable"]),
        )
        for p in ranked[:RANKED_PACKAGES]
    ]
    header = (
        "package",
        "modules",
        "code lines",
        "functions",
        "classes",
        "complexity",
        "per function",
        "documented",
    )
    return ["## Packages by total complexity", "", *_table(header, rows)]


def _functions(title: str, unit: str, packages: Sequence[Summary], what: str) -> list[str]:
    found = [item for p in packages for item in p[what]]
    ranked = sorted(found, key=lambda item: (-item[0], item[1]))[:RANKED_FUNCTIONS]
    return [f"## {title}", "", *_table(("function", unit), [(name, n) for n, name in ranked])]


def _import_graph(packages: Sequence[Summary]) -> list[str]:
    known = {p["package"] for p in packages}
    graph: Graph = {p["package"]: set(p["imports"]) & known for p in packages}
    by_use = importers(graph)
    used = sorted(graph, key=lambda name: (-len(by_use[name]), name))[:RANKED_IMPORTS]
    using = sorted(graph, key=lambda name: (-len(graph[name]), name))[:RANKED_IMPORTS]
    reach = {name: len(reachable(graph, name)) for name in using}
    edges = sum(len(targets) for targets in graph.values())
    knots = cycles(graph)
    lines = [
        "## Import graph",
        "",
        f"{len(graph)} packages, {edges} imports from one to another.",
        "",
        *_table(("most imported", "by packages"), [(name, len(by_use[name])) for name in used]),
        "",
        *_table(
            ("imports most", "directly", "in all"),
            [(name, len(graph[name]), reach[name]) for name in using],
        ),
        "",
        f"Groups of packages that import each other: {len(knots)}.",
    ]
    return lines + [f"- {len(knot)}: {_some(knot)}" for knot in knots]


def _some(names: Sequence[str]) -> str:
    rest = f" and {len(names) - NAMED_IN_GROUP} more" if len(names) > NAMED_IN_GROUP else ""
    return ", ".join(names[:NAMED_IN_GROUP]) + rest


def _table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    ruler = ["---", *("---:" for _ in header[1:])]
    return [f"| {' | '.join(map(str, row))} |" for row in (header, ruler, *rows)]


def _hundredths(number: int, of: int) -> str:
    value = number * 100 // of if of else 0
    return f"{value // 100}.{value % 100:02}"


def _percent(number: int, of: int) -> str:
    return f"{number * 100 // of if of else 0} %"
