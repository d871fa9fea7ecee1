"""The figures behind the demo: exact on small sources, independent of order."""

from __future__ import annotations

import ast
import random
from pathlib import Path

import pytest

from examples.stdlib_report.analysis import (
    analyse_source,
    complexity,
    count_lines,
    imported_packages,
)
from examples.stdlib_report.corpus import Module, library_folder, list_modules
from examples.stdlib_report.import_graph import cycles, importers, reachable
from examples.stdlib_report.reduction import reduce_package, render_report
from examples.stdlib_report.single_process import compute_report

SMALL = b'''"""A module."""
import os, json.decoder
from collections import abc
from . import sibling

# a comment
class Shape:
    """A shape."""

    def area(self):  # another
        """Its area."""
        if self.a and self.b or self.c:
            return 1
        return 0

    def _hidden(self):
        def inner(x):
            while x:
                x -= 1
        return inner


async def fetch(items):
    return [i for i in items if i]
'''


def test_a_small_module_has_exactly_these_figures() -> None:
    assert analyse_source("pack.small", SMALL) == {
        "module": "pack.small",
        "parsed": True,
        "lines": 24,
        "code_lines": 18,
        "comment_lines": 2,
        "functions": 4,
        "classes": 1,
        # module, Shape, area, inner, fetch; not _hidden
        "documentable": 5,
        "documented": 3,
        # area: 1 + if + and + or; _hidden: 1; inner: 1 + while; fetch: 1 + for + if
        "complexity": 4 + 1 + 2 + 3,
        "most_complex": {"name": "Shape.area", "complexity": 4},
        "longest": {"name": "Shape.area", "lines": 5},
        "imports": ["collections", "json", "os"],
    }


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("pass", 1),
        ("if a: pass\n elif b: pass\n else: pass", 3),
        ("for x in y: pass\n else: pass", 2),
        ("try: pass\n except A: pass\n except B: pass\n finally: pass", 3),
        ("return a if b else c", 2),
        ("return [x for x in y if x if not x]", 4),
        ("return a or b or c", 3),
        ("assert a", 2),
        ("match a:\n  case 1: pass\n  case _: pass", 3),
        ("with a: pass", 1),
        ("return lambda x: x and 1", 2),
        ("def inner():\n  if a: pass", 1),
    ],
)
def test_complexity_counts_every_branch_once(body: str, expected: int) -> None:
    function = ast.parse(f"def f():\n {body}\n").body[0]
    assert isinstance(function, ast.FunctionDef)
    assert complexity(function) == expected


def test_imports_are_outermost_packages_of_others() -> None:
    tree = ast.parse(
        "import a.b, own.x\nfrom c.d import e\nfrom . import f\ndef g():\n import lazy\n"
    )
    assert imported_packages(tree, "own.module") == {"a", "c", "lazy"}


def test_code_and_comment_lines_are_counted_by_token() -> None:
    assert count_lines(b'x = """a\n\n# not a comment\n"""  # one\n\n# two\n') == (4, 2)


@pytest.mark.parametrize("source", [b"def (", b"\xff\xfe\x00", b"x = '\\N{no such}'", b"(\n"])
def test_a_source_that_does_not_parse_is_reported_not_raised(source: bytes) -> None:
    figures = analyse_source("broken", source)
    assert figures["parsed"] is False
    assert figures["functions"] == 0


def test_an_empty_module_counts_itself_as_undocumented() -> None:
    figures = analyse_source("empty", b"")
    assert (figures["documentable"], figures["documented"], figures["lines"]) == (1, 0, 0)


def test_modules_are_listed_by_name_without_tests_and_odd_folders(tmp_path: Path) -> None:
    for path in (
        "b.py",
        "pack/__init__.py",
        "pack/a.py",
        "pack/tests/t.py",
        "test/x.py",
        "config-3.11/c.py",
        "site-packages/s.py",
        "data.txt",
    ):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("")
    found = list_modules(tmp_path)
    assert found == [
        Module("b", "b.py"),
        Module("pack", "pack/__init__.py"),
        Module("pack.a", "pack/a.py"),
    ]
    assert [module.package for module in found] == ["b", "pack", "pack"]
    assert list_modules(tmp_path, limit=2) == [found[0], found[1]]


def test_the_running_interpreter_has_several_hundred_modules() -> None:
    names = [module.name for module in list_modules(library_folder())]
    assert len(names) > 300
    assert len(set(names)) == len(names)
    assert {"json.decoder", "asyncio", "ast"} <= set(names)


def test_the_report_does_not_depend_on_the_order_of_arrival() -> None:
    modules = [analyse_source(f"p{i % 3}.m{i}", SMALL) for i in range(9)]
    by_package = {p: [m for m in modules if m["module"].startswith(p)] for p in ("p0", "p1", "p2")}
    expected = render_report([reduce_package(p, m) for p, m in by_package.items()], "3.x")
    source = random.Random(7)
    for _ in range(5):
        shuffled = [
            (package, source.sample(found, len(found))) for package, found in by_package.items()
        ]
        source.shuffle(shuffled)
        assert render_report([reduce_package(p, m) for p, m in shuffled], "3.x") == expected


def test_a_package_sums_its_modules_and_ranks_its_functions() -> None:
    simple = analyse_source("p.b", b"import p.a, q\ndef f(): pass\n")
    summary = reduce_package("p", [simple, analyse_source("p.a", SMALL)])
    assert summary["modules"] == 2
    assert summary["functions"] == 5
    assert summary["imports"] == ["collections", "json", "os", "q"]
    assert summary["most_complex"] == [[4, "p.a.Shape.area"], [1, "p.b.f"]]


def test_the_report_names_what_could_not_be_parsed() -> None:
    summary = reduce_package("p", [analyse_source("p.bad", b"def (")])
    assert "not parsed: p.bad" in render_report([summary], "3.x")


def test_graph_questions() -> None:
    graph = {"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}, "e": set()}
    assert importers(graph)["a"] == {"c", "d"}
    assert reachable(graph, "d") == {"a", "b", "c"}
    assert cycles(graph) == [["a", "b", "c"]]


def test_the_single_process_report_of_a_few_real_modules() -> None:
    folder = library_folder()
    modules = [m for m in list_modules(folder) if m.package == "json"]
    report = compute_report(folder, modules)
    assert report == compute_report(folder, list(reversed(modules)))
    assert "json.decoder" in report
    assert "not parsed" not in report
