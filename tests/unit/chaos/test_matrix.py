"""The matrix: which runs, in which order, what is kept of them, and the page about them."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from chaos.cli import app
from chaos.commands.matrix import cells_of
from chaos.nemeses import NEMESES
from chaos.nemeses.agents import AGENTS
from chaos.report.index import PICTURE, write_index
from chaos.report.matrix_plot import matrix_plot
from chaos.run import matrix
from chaos.run.matrix import LINES, Cell, CellResult, latest, load, order, read_result, run_cells
from chaos.workloads import WORKLOADS

CELL = Cell(3, "proxy", "kill:leader+delay", "set,bank", 5.0)
GOOD = CellResult(CELL, 7, True, 9.5, "chaos run --seed 7", 120, 3, 900)


def test_everything_is_every_nemesis_against_every_workload() -> None:
    cells = cells_of("3,5", "all", "all", "proxy", 15.0)
    assert len(set(cells)) == len({cell.name for cell in cells}) == len(cells)
    needy = [name for name, one in NEMESES.items() if AGENTS in one.needs]
    alone = [name for name, one in WORKLOADS.items() if not one.agents]
    assert len(cells) == 2 * (len(NEMESES) * len(WORKLOADS) - len(needy) * len(alone))


def test_rows_and_columns_may_be_combinations() -> None:
    cells = cells_of("3", "set+bank,tasks", "kill:leader+delay,none", "proxy", 5.0)
    assert sorted((cell.nemesis, cell.workloads) for cell in cells) == [
        ("kill:leader+delay", "set,bank"),
        ("kill:leader+delay", "tasks"),
        ("none", "set,bank"),
        ("none", "tasks"),
    ]


def test_a_seed_names_the_order_and_the_seeds_of_the_runs() -> None:
    cells = cells_of("3", "all", "all", "proxy", 15.0)
    assert order(cells, 1) == order(cells[::-1], 1) != order(cells, 2)
    assert sorted(order(cells, 1), key=str) == sorted(cells, key=str)
    assert CELL.seed(1) == CELL.seed(1) != CELL.seed(2)
    assert len({cell.seed(1) for cell in cells}) == len(cells)


def test_every_nemesis_meets_every_workload_before_a_pair_meets_again() -> None:
    cells = order(cells_of("3,5", "register,set+bank,locks", "kill,pause,none", "proxy", 5.0), 4)
    assert len(cells) == 18
    for half in (cells[:9], cells[9:]):
        assert len({(cell.nemesis, cell.workloads) for cell in half}) == 9
    for turn in (cells[:3], cells[3:6], cells[6:9]):
        assert {cell.nemesis for cell in turn} == {"kill", "pause", "none"}


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--nodes", "3,x"], "--nodes takes numbers"),
        (["--nodes", "8"], "--nodes takes numbers"),
        (["--network", "x"], "no network 'x'"),
        (["--workload", "set+x"], "no workload 'x'"),
        (["--nemesis", "kill,x"], "no nemesis 'x'"),
    ],
)
def test_unknown_names_are_refused(tmp_path: Path, arguments: list[str], complaint: str) -> None:
    result = CliRunner().invoke(app, ["matrix", "--out", str(tmp_path / "out"), *arguments])
    assert (result.exit_code, complaint in result.stderr) == (2, True)
    assert not (tmp_path / "out").exists()


def keep(out: Path, *results: CellResult) -> None:
    out.mkdir(exist_ok=True)
    lines = "".join(json.dumps(asdict(result)) + "\n" for result in results)
    (out / LINES).write_text(lines, encoding="utf-8")


def test_results_are_kept_and_a_line_cut_off_does_not_count(tmp_path: Path) -> None:
    bad = replace(GOOD, cell=replace(CELL, nodes=5), valid=False, anomalies=("set: lost",))
    keep(tmp_path, GOOD, bad)
    assert load(tmp_path) == [GOOD, bad]
    with (tmp_path / LINES).open("a") as lines:
        lines.write(json.dumps(asdict(GOOD))[:40])
    assert load(tmp_path) == [GOOD, bad]


def test_what_is_done_is_not_run_again_and_no_run_begins_without_time(tmp_path: Path) -> None:
    keep(tmp_path, GOOD)
    assert list(run_cells([CELL], tmp_path, 0, 1e6)) == []
    assert list(run_cells([replace(CELL, nodes=5)], tmp_path, 0, 5.0)) == []


def test_a_run_without_results_is_unknown_and_says_where_to_look(tmp_path: Path) -> None:
    result = read_result(CELL, 7, tmp_path, 3.0, 2)
    assert (result.valid, "exit code 2" in result.trouble) == ("unknown", True)


def test_the_index_shows_each_run_and_what_was_wrong(tmp_path: Path) -> None:
    bad = replace(GOOD, cell=replace(CELL, nemesis="none"), valid=False, anomalies=("<lost>",))
    keep(tmp_path, GOOD, bad)
    write_index(tmp_path)
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert f"cells/{CELL.name}/report.html" in page
    assert page.count("badge INVALID") == 2  # the run, and all together
    assert "&lt;lost&gt;" in page
    table = (tmp_path / "index.md").read_text(encoding="utf-8")
    assert "2 runs, 0 minutes of running in all, 240 calls, 6 faults. Verdict: INVALID." in table
    assert "## 3 nodes, proxy\n\n| nemesis | set,bank |" in table
    assert "| kill:leader+delay | valid 7 |\n| none | INVALID 7 |" in table
    assert "    INVALID: chaos run --seed 7\n    <lost>" in table


def test_what_was_not_valid_can_be_played_again_and_is_not_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = replace(GOOD, valid=False, anomalies=("set: lost",))
    keep(tmp_path, bad)
    assert list(run_cells([CELL], tmp_path, 0, 100.0)) == []
    stand_in(tmp_path, monkeypatch, "exit 0")
    (again,) = run_cells([CELL], tmp_path, 0, 100.0, again=True)
    assert load(tmp_path) == [bad, again]
    assert latest(load(tmp_path)) == [again]
    keep(tmp_path, bad, GOOD)
    assert list(run_cells([CELL], tmp_path, 0, 100.0, again=True)) == []
    write_index(tmp_path)
    told = (tmp_path / "index.md").read_text(encoding="utf-8")
    assert "Verdict: valid." in told
    assert "INVALID (played again: valid): chaos run --seed 7" in told


def test_the_picture_counts_a_run_for_each_of_its_workloads(tmp_path: Path) -> None:
    bad = replace(GOOD, cell=replace(CELL, nodes=5, workloads="bank"), valid=False)
    svg = matrix_plot([GOOD, bad, replace(GOOD, cell=replace(CELL, nemesis="kill"))])
    names = re.findall(r'class="label[^>]*>([^<]*)<', svg)
    assert names == ["set", "bank", "kill", "kill:leader+delay"]
    cells = re.findall(r'class="verdict (\w+)"[^>]*><title>.*?>(\d+)</text>', svg)
    assert cells == [("valid", "1"), ("valid", "1"), ("valid", "1"), ("INVALID", "2")]
    pytest.importorskip("resvg_py")
    keep(tmp_path, GOOD, bad)
    write_index(tmp_path)
    assert (tmp_path / PICTURE).read_bytes().startswith(b"\x89PNG")


def test_the_document_can_be_written_among_others(tmp_path: Path) -> None:
    out, document = tmp_path / "out", tmp_path / "docs" / "played.md"
    keep(out, GOOD)
    ended = CliRunner().invoke(
        app, ["matrix", "--out", str(out), "--budget", "0", "--document", str(document)]
    )
    assert ended.exit_code == 0, ended.output
    assert "](img/played.png)" in document.read_text(encoding="utf-8")
    assert "| kill:leader+delay | valid 7 |" in document.read_text(encoding="utf-8")
    pytest.importorskip("resvg_py")
    picture = document.parent / "img" / "played.png"
    assert picture.read_bytes() == (out / PICTURE).read_bytes()


def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """What is started instead of the interpreter that would make a run."""
    path = tmp_path / "stand-in"
    path.write_text(f"#!/bin/sh\ncd {tmp_path}\n{script}\n", encoding="utf-8")
    path.chmod(0o755)
    monkeypatch.setattr(matrix.sys, "executable", str(path))


THREE = [replace(CELL, nodes=nodes, duration_s=0.1) for nodes in (3, 5, 7)]


def test_as_many_runs_as_asked_for_go_on_side_by_side(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    meets = "echo begun >> begun; until [ $(wc -l < begun) -gt 1 ]; do sleep 0.01; done"
    stand_in(tmp_path, monkeypatch, meets)
    results = list(run_cells(THREE, tmp_path / "out", 0, 100.0, jobs=2))
    assert sorted(result.cell.nodes for result in results) == [3, 5, 7]
    assert load(tmp_path / "out") == results
    assert {result.trouble.partition(";")[0] for result in results} == {"no results, exit code 0"}


def test_runs_under_way_stop_in_an_orderly_way_when_it_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = "trap 'echo stopped >> stopped; exit' INT; echo begun >> begun"
    forever = "while :; do sleep 0.01; done"
    first = "mkdir first 2>/dev/null && until [ $(wc -l < begun) -gt 1 ]; do sleep 0.01; done"
    stand_in(tmp_path, monkeypatch, f"touch begun; {first} && exit; {told}; {forever}")
    under_way = run_cells(THREE, tmp_path / "out", 0, 100.0, jobs=3)
    next(under_way)
    under_way.close()
    assert (tmp_path / "stopped").read_text().split() == ["stopped"] * 2
