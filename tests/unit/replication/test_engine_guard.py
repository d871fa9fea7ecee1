"""The engine refuses to run on any library but the one it was proved against."""

from __future__ import annotations

import pytest
from pysyncobj import SyncObj

from coord.replication import pysyncobj_engine
from coord.replication.errors import EngineVersionError


def test_the_installed_library_is_the_proved_one() -> None:
    pysyncobj_engine.check_engine()


def test_another_version_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pysyncobj_engine, "VERSION", "0.3.18")
    with pytest.raises(EngineVersionError, match=r"0\.3\.18.*0\.3\.17"):
        pysyncobj_engine.check_engine()


@pytest.mark.parametrize("name", ["_SyncObj__sendAppendEntries", "_checkCommandsToApply"])
def test_a_missing_private_name_is_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.delattr(SyncObj, name)
    with pytest.raises(EngineVersionError, match=name.removeprefix("_SyncObj")):
        pysyncobj_engine.check_engine()
