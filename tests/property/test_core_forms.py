"""The compiled core does exactly what the core in Python does.

Building takes a minute or two, so these are long tests; a tree that was set up with
`scripts/setup --compiled` runs the whole suite on the compiled core anyway."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from coord.core.base.build import COMPILED

ROOT = Path(__file__).resolve().parents[2]
CORE = ROOT / "coord" / "core"
COPIED = ("coord", "agentnode", "chaos", "tests", "pyproject.toml", "setup.py")
BUILD_TIMEOUT_S = 900
SEEDS = "0:6"


@pytest.mark.skipif(not COMPILED, reason="the core is not compiled here")
def test_what_is_compiled_is_what_is_written() -> None:
    for source in CORE.glob("*.py"):
        if source.name != "__init__.py":
            (built,) = CORE.glob(f"{source.stem}.*.so")
            assert built.stat().st_mtime >= source.stat().st_mtime, (
                f"{source.name} is newer than its compiled form: run scripts/setup"
            )


def run(tree: Path, *argv: str) -> str:
    done = subprocess.run(
        [sys.executable, *argv],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(tree), "COORD_COMPILE": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=BUILD_TIMEOUT_S,
    )
    assert done.returncode == 0, done.stdout[-4_000:] + done.stderr[-4_000:]
    return done.stdout


def is_compiled(tree: Path) -> bool:
    told = run(tree, "-c", "from coord.core.base.build import COMPILED; print(COMPILED)")
    return told.strip() == "True"


@pytest.fixture(scope="module")
def pure(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copied(tmp_path_factory.mktemp("pure"))


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = (sysconfig.get_config_var("CC") or "cc").split()[0]
    if shutil.which(compiler) is None:
        pytest.skip(f"there is no C compiler ({compiler})")
    if not (Path(sysconfig.get_path("include")) / "Python.h").exists():
        pytest.skip("the headers of Python are not installed")
    tree = copied(tmp_path_factory.mktemp("compiled"))
    run(tree, "setup.py", "build_ext", "--inplace")
    return tree


def copied(tree: Path) -> Path:
    ignored = shutil.ignore_patterns("*.so", "__pycache__")
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, tree / name, ignore=ignored)
        else:
            shutil.copy(source, tree / name)
    return tree


@pytest.mark.long
@pytest.mark.timeout(2 * BUILD_TIMEOUT_S)
def test_same_histories_in_the_simulator(pure: Path, compiled: Path, tmp_path: Path) -> None:
    assert (is_compiled(pure), is_compiled(compiled)) == (False, True)
    digests, histories = [], []
    for number, tree in enumerate((pure, compiled)):
        account, history = tmp_path / f"{number}.json", tmp_path / f"{number}.jsonl"
        run(tree, "-m", "chaos", "sim", "--seeds", SEEDS, "--json", str(account))
        run(tree, "-m", "chaos", "sim", "--seeds", "1:2", "--history", str(history))
        digests.append(json.loads(account.read_bytes())["history_sha256"])
        histories.append(history.read_bytes())
    assert len(histories[0]) > 10_000
    assert histories[0] == histories[1]
    assert digests[0] == digests[1]


@pytest.mark.long
@pytest.mark.timeout(2 * BUILD_TIMEOUT_S)
def test_same_bytes_and_scenarios(compiled: Path) -> None:
    run(compiled, "-m", "pytest", "-q", "tests/golden", "tests/scenario")
