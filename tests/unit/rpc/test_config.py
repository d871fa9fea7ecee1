"""Settings: precedence, defaults, and one line per mistake."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from coord.node.config import ConfigError, load_config

MEMBERS = "n1=127.0.0.1:7500,127.0.0.1:7400; n2=127.0.0.1:7501,127.0.0.1:7401"


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in list(os.environ):
        if name.startswith("COORD_"):
            monkeypatch.delenv(name)


def test_flags_over_environment_over_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "node.toml"
    file.write_text('data_dir = "/file"\ncluster_id = "file"\nnode_id = "file"\n')
    monkeypatch.setenv("COORD_CLUSTER_ID", "environment")
    monkeypatch.setenv("COORD_NODE_ID", "environment")
    config = load_config({"node_id": "flag", "log_level": None}, file)
    assert (str(config.data_dir), config.cluster_id, config.node_id, config.log_level) == (
        "/file",
        "environment",
        "flag",
        "info",
    )


def test_addresses_come_from_the_list_of_members(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COORD_MEMBERS", MEMBERS)
    config = load_config({"data_dir": "/d", "node_id": "n2"})
    assert (config.listen, config.advertise) == ("127.0.0.1:7401", "127.0.0.1:7401")
    assert (config.peer_listen, config.peer_advertise) == ("127.0.0.1:7501", "127.0.0.1:7501")
    assert [member.node_id for member in config.cluster_members()] == ["n1", "n2"]


def test_members_as_tables(tmp_path: Path) -> None:
    file = tmp_path / "node.toml"
    file.write_text(
        'data_dir = "/d"\n[[members]]\nnode_id = "n1"\n'
        'peer_address = "a:1"\nclient_address = "a:2"\n'
    )
    (member,) = load_config({}, file).cluster_members()
    assert (member.node_id, member.peer_address, member.client_address) == ("n1", "a:1", "a:2")


def test_one_node_alone() -> None:
    config = load_config({"data_dir": "/d", "listen": "0.0.0.0:9000", "advertise": "me:9000"})
    (member,) = config.cluster_members()
    assert (member.client_address, member.peer_address) == ("me:9000", "me:9100")
    assert config.peer_listen == "0.0.0.0:9100"


MISTAKES: list[tuple[dict[str, Any], str]] = [
    ({}, "data_dir: is missing; allowed: a directory"),
    ({"data_dir": "/d", "nod_id": "x"}, "nod_id: is not a setting; did you mean node_id?"),
    ({"data_dir": "/d", "listen": "here"}, "listen: found 'here'; allowed: host:port"),
    ({"data_dir": "/d", "listen": "a:70000"}, "listen: found 'a:70000'; allowed: host:port"),
    ({"data_dir": "/d", "log_level": "loud"}, "log_level: found 'loud'; allowed: debug, info"),
    ({"data_dir": "/d", "pipeline": 0}, "pipeline: found 0; allowed: a whole number, 1 to 64"),
    ({"data_dir": "/d", "pipeline": "many"}, "pipeline: found 'many'; allowed: a whole number"),
    ({"data_dir": "/d", "node_id": "a b"}, "node_id: found 'a b'; allowed: 1 to 64 letters"),
    ({"data_dir": "/d", "members": MEMBERS, "node_id": "n9"}, "node_id: found 'n9'; allowed: one"),
    ({"data_dir": "/d", "members": "n1=a:1,x"}, "members.0.client_address: found 'x'; allowed"),
    ({"data_dir": "/d", "members": "n1=a:1,a:2;n1=a:3,a:4"}, "members: n1 is there more than onc"),
    ({"data_dir": "/d", "members": "n1=a:1,a:1"}, "members: a:1 is there more than once"),
    ({"in_memory": True, "members": MEMBERS}, "in_memory: is for one node"),
    ({"data_dir": "/d", "heartbeat_interval_ms": 300}, "heartbeat_interval_ms: found 300"),
]


@pytest.mark.parametrize(("flags", "line"), MISTAKES)
def test_mistakes(flags: dict[str, Any], line: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load_config(flags)
    assert len(refused.value.lines) == 1
    assert refused.value.lines[0].startswith(line)


def test_every_mistake_is_named() -> None:
    with pytest.raises(ConfigError) as refused:
        load_config({"data_dir": "/d", "pipeline": 0, "log_format": "xml"})
    assert len(refused.value.lines) == 2


def test_unusable_files(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config({}, tmp_path / "none.toml")
    bad = tmp_path / "bad.toml"
    bad.write_text("= 1")
    with pytest.raises(ConfigError, match="is not TOML"):
        load_config({}, bad)
    bad.write_text('dta_dir = "/d"')
    with pytest.raises(ConfigError, match="did you mean data_dir"):
        load_config({}, bad)
