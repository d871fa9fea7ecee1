"""Each old build, once for all tests here; they are skipped where it cannot be had."""

from __future__ import annotations

import pytest

from tests.support.old_build import OLD_COMMITS, Build, extract, why_missing


@pytest.fixture(scope="session", params=OLD_COMMITS)
def old(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Build:
    commit: str = request.param
    if why := why_missing(commit):
        pytest.skip(why)
    return extract(commit, tmp_path_factory.mktemp("old-build"))
