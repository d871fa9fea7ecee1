"""The settings of one node: flags over environment (COORD_*) over a TOML file, all checked.

Whatever is wrong is said in one line per mistake: which field, what was found, what is allowed.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from coord.replication.membership import MAX_MEMBERS
from coord.replication.names import ADDRESS_RULE, NAME_RULE, checked_address, checked_name
from coord.replication.port import Member

DEFAULT_CLIENT_PORT = 7400
PEER_PORT_OFFSET = 100
_MEMBER_RULE = "id=peer_host:port,client_host:port"

_file_values: ContextVar[Mapping[str, Any]] = ContextVar("_file_values")


class ConfigError(Exception):
    """The settings cannot be used. `lines`: one per mistake. Nothing was started."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines


def with_port(address: str, offset: int) -> str:
    """The same host, `offset` ports further."""
    host, _, port = address.rpartition(":")
    return f"{host}:{int(port) + offset}"


class MemberConfig(BaseModel):
    """One node of the cluster. Also written as `id=peer_host:port,client_host:port`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    node_id: str = Field(description=NAME_RULE)
    peer_address: str = Field(description=ADDRESS_RULE)
    client_address: str = Field(description=ADDRESS_RULE)

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        node_id, _, addresses = value.partition("=")
        peer, _, client = addresses.partition(",")
        return {"node_id": node_id, "peer_address": peer, "client_address": client}

    _check_name = field_validator("node_id")(checked_name)
    _check_addresses = field_validator("peer_address", "client_address")(checked_address)

    def as_member(self) -> Member:
        """As replication sees it."""
        return Member(self.node_id, self.peer_address, self.client_address)


def _setting(
    default: Any, allowed: str, meaning: str, low: int | None = None, high: int | None = None
) -> Any:
    """`allowed` is told to whoever gives something else; `meaning` stands in the documentation."""
    extra: dict[str, Any] = {"meaning": meaning}
    return Field(default, description=allowed, json_schema_extra=extra, ge=low, le=high)


def _milliseconds(default: int, low: int, high: int, meaning: str) -> Any:
    return _setting(default, f"milliseconds, {low} to {high}", meaning, low, high)


def _count(default: int, low: int, high: int, meaning: str) -> Any:
    return _setting(default, f"a whole number, {low} to {high}", meaning, low, high)


class ServerConfig(BaseSettings):
    """Settings of one node. Use `load_config`."""

    model_config = SettingsConfigDict(
        env_prefix="COORD_", extra="forbid", env_ignore_empty=True, validate_default=False
    )

    node_id: str = _setting("n1", NAME_RULE, "The name of this node, one of `members`.")
    cluster_id: str = _setting(
        "coord", NAME_RULE, "The name of the cluster: nodes of another one are refused."
    )
    data_dir: Path | None = _setting(
        None,
        "a directory of this node's own (required unless in_memory)",
        "Where the log, the votes and the snapshots are kept.",
    )
    in_memory: bool = _setting(
        False,
        "true or false; true keeps nothing on disk, one node only",
        "Keep nothing on disk, for tests.",
    )
    listen: str = _setting(
        "", ADDRESS_RULE, "Where clients connect; empty: this node's client address in `members`."
    )
    advertise: str = _setting(
        "", ADDRESS_RULE, "The client address that others are told; empty: as in `members`."
    )
    peer_listen: str = _setting(
        "", ADDRESS_RULE, "Where the other nodes connect; empty: its peer address in `members`."
    )
    peer_advertise: str = _setting(
        "", ADDRESS_RULE, "The peer address that others are told; empty: as in `members`."
    )
    members: Annotated[tuple[MemberConfig, ...], NoDecode] = _setting(
        (),
        f"1 to {MAX_MEMBERS} of {_MEMBER_RULE}, ';' between them",
        "How the cluster begins: the id, the peer address and the client address of each node. "
        "Once it runs, the members stand in the log.",
    )

    log_level: Literal["debug", "info", "warning", "error"] = _setting(
        "info", "debug, info, warning or error", "The least important lines that are logged."
    )
    log_format: Literal["console", "json"] = _setting(
        "console", "console or json", "How a line of the log looks."
    )

    election_timeout_ms: int = _milliseconds(
        600,
        60,
        60_000,
        "How long a follower hears nothing before it stands for election; at most 1.7 times that.",
    )
    heartbeat_interval_ms: int = _milliseconds(
        50,
        10,
        10_000,
        "How often a leader is heard at least; less than a third of `election_timeout_ms`.",
    )
    leader_wait_ms: int = _milliseconds(
        2_000, 0, 60_000, "How long a call waits for a leader before it is refused."
    )
    hold_back_ms: int = _milliseconds(
        250, 0, 5_000, "How long keep-alives and renewals wait to share a log entry."
    )
    shutdown_grace_ms: int = _milliseconds(
        5_000, 0, 600_000, "How long running calls have to end when the node stops."
    )
    transfer_timeout_ms: int = _milliseconds(
        3_000, 1, 60_000, "How long a transfer of leadership may take."
    )
    state_check_interval_ms: int = _milliseconds(
        10_000, 0, 86_400_000, "How often nodes compare the digests of their states; 0: never."
    )

    max_message_bytes: int = _count(
        8 * 1024 * 1024, 64 * 1024, 32 * 1024 * 1024, "The largest request of a client."
    )
    max_waiting_requests: int = _count(
        20_000, 1, 1_000_000, "How many requests wait to be proposed; more are refused (BUSY)."
    )
    max_waiting_bytes: int = _count(
        256 * 1024 * 1024, 1024 * 1024, 1 << 36, "How many bytes of requests wait to be proposed."
    )
    max_entry_requests: int = _count(4_096, 1, 100_000, "How many requests share a log entry.")
    max_entry_bytes: int = _count(
        4 * 1024 * 1024,
        64 * 1024,
        32 * 1024 * 1024,
        "How large a log entry of several requests is.",
    )
    pipeline: int = _count(3, 1, 64, "How many log entries are under way at the same time.")
    segment_bytes: int = _count(
        64 * 1024 * 1024, 64 * 1024, 1 << 32, "How large a file of the log gets."
    )
    journal_reserve_bytes: int = _count(
        256 * 1024,
        0,
        1 << 30,
        "How much room the log reserves ahead, so that a sync need not write a new file size.",
    )
    snapshot_entries: int = _count(
        100_000, 100, 100_000_000, "A snapshot is due after so many log entries."
    )
    keep_entries: int = _count(
        10_000,
        1,
        10_000_000,
        "How many log entries are kept behind a snapshot, for followers that are behind.",
    )
    snapshot_bytes: int = _count(
        256 * 1024 * 1024, 64 * 1024, 1 << 40, "A snapshot is due after so many bytes of log."
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Flags, then the environment, then the file."""
        from_file = InitSettingsSource(settings_cls, dict(_file_values.get({})))
        return (init_settings, env_settings, from_file)

    @field_validator("node_id", "cluster_id")
    @classmethod
    def _names(cls, value: str) -> str:
        return checked_name(value)

    @field_validator("listen", "advertise", "peer_listen", "peer_advertise")
    @classmethod
    def _addresses(cls, value: str) -> str:
        return checked_address(value)

    @field_validator("members", mode="before")
    @classmethod
    def _split_members(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(one.strip() for one in value.split(";") if one.strip())
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> ServerConfig:
        if self.data_dir is None and not self.in_memory:
            raise ValueError("data_dir: is missing; allowed: a directory of this node's own")
        if self.in_memory and len(self.members) > 1:
            raise ValueError("in_memory: is for one node; allowed: false with several members")
        if self.heartbeat_interval_ms * 3 >= self.election_timeout_ms:
            raise ValueError(
                f"heartbeat_interval_ms: found {self.heartbeat_interval_ms}; allowed: less than "
                f"a third of election_timeout_ms ({self.election_timeout_ms})"
            )
        if self.members:
            self._check_members()
        self._fill_in_addresses()
        return self

    def _check_members(self) -> None:
        ids = [member.node_id for member in self.members]
        if len(ids) > MAX_MEMBERS:
            raise ValueError(f"members: found {len(ids)}; allowed: 1 to {MAX_MEMBERS}")
        if self.node_id not in ids:
            raise ValueError(
                f"node_id: found {self.node_id!r}; allowed: one of members ({', '.join(ids)})"
            )
        addresses = [a for m in self.members for a in (m.peer_address, m.client_address)]
        for what in (ids, addresses):
            twice = sorted({one for one in what if what.count(one) > 1})
            if twice:
                raise ValueError(
                    f"members: {', '.join(twice)} is there more than once; allowed: every id and "
                    "every address once"
                )

    def _fill_in_addresses(self) -> None:
        own = next((one for one in self.members if one.node_id == self.node_id), None)
        default = own.client_address if own else f"127.0.0.1:{DEFAULT_CLIENT_PORT}"
        self.listen = self.listen or default
        self.advertise = self.advertise or (own.client_address if own else self.listen)
        default = own.peer_address if own else with_port(self.listen, PEER_PORT_OFFSET)
        self.peer_listen = self.peer_listen or default
        default = own.peer_address if own else with_port(self.advertise, PEER_PORT_OFFSET)
        self.peer_advertise = self.peer_advertise or default

    def cluster_members(self) -> tuple[Member, ...]:
        """All nodes; without a list of members, this one alone."""
        if self.members:
            return tuple(member.as_member() for member in self.members)
        return (Member(self.node_id, self.peer_advertise, self.advertise),)


def load_config(
    flags: Mapping[str, Any] | None = None, config_file: Path | str | None = None
) -> ServerConfig:
    """The settings from `flags` (None = not given), COORD_* and the TOML file.

    Raises ConfigError."""
    values = _read_file(Path(config_file)) if config_file is not None else {}
    given = {name: value for name, value in (flags or {}).items() if value is not None}
    _refuse_unknown(given, "")
    token = _file_values.set(values)
    try:
        return ServerConfig(**given)
    except ValidationError as error:
        raise ConfigError(_explain(error)) from None
    finally:
        _file_values.reset(token)


def _read_file(path: Path) -> dict[str, Any]:
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read: {error.strerror}"]) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError([f"{path}: is not TOML: {error}"]) from None
    _refuse_unknown(values, f"{path}: ")
    return values


def _refuse_unknown(values: Mapping[str, Any], where: str) -> None:
    known = list(ServerConfig.model_fields)
    lines = []
    for name in values:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {close[0]}?" if close else f"allowed: {', '.join(known)}"
            lines.append(f"{where}{name}: is not a setting; {hint}")
    if lines:
        raise ConfigError(lines)


def _explain(error: ValidationError) -> list[str]:
    lines = []
    for problem in error.errors():
        where = [str(part) for part in problem["loc"]]
        if not where:
            lines.append(problem["msg"].removeprefix("Value error, "))
            continue
        allowed = _allowed(where)
        if problem["type"] == "missing":
            found = "is missing"
        elif problem["type"] == "extra_forbidden":
            found, allowed = "is not a setting", ", ".join(MemberConfig.model_fields)
        else:
            found = f"found {problem['input']!r}"
        lines.append(f"{'.'.join(where)}: {found}; allowed: {allowed}")
    return lines


def _allowed(where: list[str]) -> str:
    fields: Mapping[str, Any] = ServerConfig.model_fields
    if where[0] == "members" and len(where) == 3:
        fields, where = MemberConfig.model_fields, where[2:]
    field = fields.get(where[0])
    return (field.description if field else None) or "see the documentation"
