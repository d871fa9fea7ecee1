"""The cookbook of docs/client.md does what it says."""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path

import pytest

from tests.support.rpc import local_node

PAGE = Path(__file__).resolve().parents[2] / "docs" / "client.md"
ENDPOINTS = "127.0.0.1:7400,127.0.0.1:7401,127.0.0.1:7402"
SAYS = {
    "A pool of workers": r"100 of 100 done\n",
    "A lock, and a resource that is fenced by it": r"from the second\n",
    "A singleton": r"(instance \d worked under fencing token \d+\n){3}",
    "A counter that several change": r"visits: 5\n",
}


def recipes() -> dict[str, str]:
    """The program below each heading of the cookbook."""
    text = PAGE.read_text(encoding="utf-8")
    cookbook = text.partition("## Cookbook\n")[2].partition("\n## ")[0]
    found = re.findall(r"^### (.+?)\n.*?^```python\n(.*?)^```$", cookbook, re.M | re.S)
    return dict(found)


def test_every_recipe_is_tried() -> None:
    assert set(recipes()) == set(SAYS)


@pytest.mark.parametrize("title", SAYS)
async def test_a_recipe_works_as_it_stands(title: str, tmp_path: Path) -> None:
    program = recipes()[title]
    assert program.count(ENDPOINTS) == 1
    async with local_node() as node:
        file = tmp_path / "recipe.py"
        file.write_text(program.replace(ENDPOINTS, node.address), encoding="utf-8")
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(file),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            out, err = await asyncio.wait_for(process.communicate(), 60)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    assert process.returncode == 0, err.decode()
    assert re.fullmatch(SAYS[title], out.decode())
