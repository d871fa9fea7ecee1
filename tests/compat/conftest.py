"""The old build, once for all tests here; they are skipped where it cannot be had."""

from __future__ import annotations

import pytest

from tests.support.old_build import Build, extract, why_missing


@pytest.fixture(scope="session")
def old(tmp_path_factory: pytest.TempPathFactory) -> Build:
    if why := why_missing():
        pytest.skip(why)
    return extract(tmp_path_factory.mktemp("old-build"))
