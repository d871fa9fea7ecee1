"""scripts/mutate: mutants fit the source, name tests that exist, and are tried as they should."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest

from scripts.lib.mutate import cli
from scripts.lib.mutate.mutant import Mutant, MutantError, mutant
from scripts.lib.mutate.mutants import MUTANTS
from scripts.lib.mutate.tree import copied
from scripts.lib.mutate.trial import Result, try_mutants

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("one", MUTANTS, ids=lambda one: one.name)
def test_a_mutant_fits_the_source(one: Mutant) -> None:
    mutated = one.check(ROOT)
    assert one.old != one.new
    ast.parse(mutated)


@pytest.mark.parametrize("one", MUTANTS, ids=lambda one: one.name)
def test_its_tests_exist(one: Mutant) -> None:
    assert one.tests
    for test in one.tests:
        file, _, name = test.partition("::")
        source = (ROOT / file).read_text(encoding="utf-8")
        functions = {
            node.name
            for node in ast.walk(ast.parse(source))
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        }
        assert not name or name.partition("[")[0] in functions, test


def test_names_are_unique() -> None:
    names = [one.name for one in MUTANTS]
    assert len(names) == len(set(names)) >= 40


@pytest.mark.parametrize(("source", "times"), [("", 0), ("a < b; a < b", 2)])
def test_a_mutant_that_does_not_fit_is_named(tmp_path: Path, source: str, times: int) -> None:
    (tmp_path / "m.py").write_text(source)
    with pytest.raises(MutantError, match=f"off-by-one: its text stands {times} times in"):
        mutant("off-by-one", "m.py", "a < b", "a <= b", "tests").check(tmp_path)


def test_a_mutant_of_a_file_that_is_gone_is_named(tmp_path: Path) -> None:
    with pytest.raises(MutantError, match="off-by-one: cannot read"):
        mutant("off-by-one", "m.py", "a", "b", "tests").check(tmp_path)


def small_tree(root: Path) -> Path:
    """A product of one function with two tests."""
    for package in ("coord", "agentnode", "chaos"):
        (root / package).mkdir(parents=True)
        (root / package / "__init__.py").touch()
    (root / "coord" / "sum.py").write_text("def add(a, b):\n    return a + b\n\n\nUNUSED = 1\n")
    (root / "tests").mkdir()
    (root / "tests" / "test_sum.py").write_text(
        "from coord.sum import add\n\n\ndef test_add():\n    assert add(2, 2) == 4\n"
    )
    (root / "tests" / "test_bad.py").write_text("def test_bad():\n    assert False\n")
    (root / "pyproject.toml").write_text('[tool.pytest.ini_options]\npythonpath = ["."]\n')
    (root / "setup.py").touch()
    return root


def small(name: str, old: str, new: str, test: str = "tests/test_sum.py") -> Mutant:
    return mutant(name, "coord/sum.py", old, new, test)


async def tried(root: Path, *mutants: Mutant, timeout_s: float = 60) -> dict[str, Result]:
    shown: list[Result] = []
    results = await try_mutants(root, mutants, 1, timeout_s, shown.append)
    assert shown == results
    return {result.mutant.name: result for result in results}


async def test_what_is_caught_and_what_is_not(tmp_path: Path) -> None:
    root = small_tree(tmp_path / "tree")
    before = (root / "coord" / "sum.py").read_bytes()
    results = await tried(
        root,
        small("caught", "a + b", "a - b"),
        small("survives", "UNUSED = 1", "UNUSED = 2"),
        small("not-python", "a + b", "a +"),
        # Of the same length as the first, in the same second: no bytecode may be taken for it.
        small("survives-too", "a + b", "b + a"),
    )
    assert {name for name, result in results.items() if result.caught} == {"caught"}
    assert results["caught"].detail == "tests/test_sum.py::test_add"
    assert "broken" in results["not-python"].detail
    assert (root / "coord" / "sum.py").read_bytes() == before


async def test_tests_that_never_end_catch_nothing(tmp_path: Path) -> None:
    root = small_tree(tmp_path / "tree")
    hangs = small("hangs", "return a + b", "import time; time.sleep(60); return a + b")
    results = await tried(root, hangs, timeout_s=3)
    assert not results["hangs"].caught
    assert "too slow" in results["hangs"].detail


async def test_tests_that_fail_without_the_mutant_are_an_error(tmp_path: Path) -> None:
    root = small_tree(tmp_path / "tree")
    with pytest.raises(MutantError, match=r"^wrong: their tests fail without them"):
        await tried(
            root,
            small("wrong", "a + b", "a - b", "tests/test_bad.py"),
            small("right", "a + b", "a - b"),
        )


def test_a_copy_is_deleted_and_has_no_compiled_core(tmp_path: Path) -> None:
    root = small_tree(tmp_path / "tree")
    (root / "coord" / "sum.cpython-311-x86_64-linux-gnu.so").touch()
    with copied(root) as tree:
        copy = tree.root
        names = {path.name for path in (copy / "coord").iterdir()}
    assert names == {"__init__.py", "sum.py"}
    assert not copy.exists()


@pytest.mark.parametrize("caught", [True, False])
def test_the_last_line_counts_and_the_exit_code_tells(
    caught: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def all_alike(_: Path, mutants: list[Mutant], *rest: Any) -> list[Result]:
        results = [Result(one, caught, "why", 0.1) for one in mutants]
        for result in results:
            rest[-1](result)
        return results

    monkeypatch.setattr(cli, "try_mutants", all_alike)
    names = [one.name for one in MUTANTS[:2]]
    with pytest.raises(SystemExit) as ended:
        cli.main(["--only", names[0], "--only", names[1]])
    assert ended.value.code == (0 if caught else 1)
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == f"caught {2 if caught else 0} of 2"
    assert all(name in lines[position] for position, name in enumerate(names))


def test_an_unknown_name_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["--only", "no-such-mutant"])
    assert ended.value.code == 2
    assert "no mutant no-such-mutant" in capsys.readouterr().err
