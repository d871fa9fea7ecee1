"""The quota on the state: who is refused when, and what a machine is said to have."""

from __future__ import annotations

from pathlib import Path

from coord.codec.kinds import CommandKind
from coord.core.account import state_size
from coord.core.base.refusal import Reason
from coord.core.batch import Batch, Request
from coord.core.cluster.commands import RaiseLevel, SetQuota
from coord.core.kv.commands import KvDelete, KvPut, KvTxn
from coord.core.machine import Machine
from coord.core.sizes import TASK_BYTES
from coord.core.tasks.commands import SetQueue, SubmitTasks, TaskSpec
from coord.replication.port import Member
from coord.rpc.status import etcd_refusal
from coord.runtime.machine_memory import usable_memory_bytes
from coord.runtime.state_quota import StateQuota
from tests.support.codec_samples import SAMPLES

GIB = 1024**3
LIMIT = 500_000
APART = [Member("n1", "", "10.0.0.1:1"), Member("n2", "", "10.0.0.2:1")]
TOGETHER = [Member(f"n{number}", "", f"127.0.0.1:{number}") for number in (1, 2, 3)]
GROWTH = {CommandKind.SUBMIT_TASKS, CommandKind.KV_PUT, CommandKind.KV_TXN}
LAST = {CommandKind.OPEN_SESSION, CommandKind.ACQUIRE_LOCK}


def filled(size: int) -> Machine:
    """A state of about this many bytes, whose quota is LIMIT."""
    machine = Machine()
    before = [Request(RaiseLevel(1)), Request(SetQuota(0)), Request(SetQueue("q"))]
    machine.apply(Batch(0, 0, before))
    machine.state.settings.insert("quota_bytes", LIMIT)
    payload = b"x" * (size - state_size(machine.state) - TASK_BYTES)
    machine.apply(Batch(0, 0, [Request(SubmitTasks([TaskSpec("q", payload)]))]))
    assert state_size(machine.state) == size
    return machine


def refused_kinds(machine: Machine, quota: StateQuota) -> set[CommandKind]:
    found = set()
    for kind, (_, command) in SAMPLES.items():
        refused = quota.check(machine.state, APART, kind, command)
        if refused is not None:
            found.add(kind)
            assert refused.reason is Reason.QUOTA_EXCEEDED
            assert dict(refused.metadata)["limit"] == str(LIMIT)
    return found


def test_at_the_limit_growth_is_refused_and_nothing_else() -> None:
    quota = StateQuota("n1", GIB)
    assert refused_kinds(filled(LIMIT - 1), quota) == set()
    assert refused_kinds(filled(LIMIT), quota) == GROWTH
    assert refused_kinds(filled(LIMIT + LIMIT // 10 - 1), quota) == GROWTH
    assert refused_kinds(filled(LIMIT + LIMIT // 10), quota) == GROWTH | LAST


def test_the_alarm_is_over_when_a_tenth_is_free_again() -> None:
    quota = StateQuota("n1", GIB)
    assert not quota.alarm(filled(LIMIT - 1).state, APART)
    assert quota.alarm(filled(LIMIT).state, APART)
    assert quota.alarm(filled(LIMIT - LIMIT // 10).state, APART)
    assert not quota.alarm(filled(LIMIT - LIMIT // 10 - 1).state, APART)
    assert not quota.alarm(filled(LIMIT - 1).state, APART)


def test_a_transaction_without_a_put_is_not_growth() -> None:
    quota = StateQuota("n1", GIB)
    state = filled(LIMIT).state
    deleting = KvTxn([], [KvDelete(b"k")], [])
    assert quota.check(state, APART, CommandKind.KV_TXN, deleting) is None
    nested = KvTxn([], [KvTxn([], [], [KvPut(b"k", b"")])], [])
    refused = quota.check(state, APART, CommandKind.KV_TXN, nested)
    assert refused is not None
    assert etcd_refusal(refused).message == "etcdserver: mvcc: database space exceeded"


def test_without_a_setting_the_nodes_of_a_machine_share_its_memory() -> None:
    quota, state = StateQuota("n1", 9 * GIB), Machine().state
    assert quota.limit_bytes(state, APART) == (3 * GIB, True)
    assert quota.limit_bytes(state, TOGETHER) == (GIB, True)
    assert quota.limit_bytes(filled(5_000).state, TOGETHER) == (LIMIT, False)
    assert StateQuota("elsewhere", 9 * GIB).limit_bytes(state, TOGETHER) == (3 * GIB, True)


# ---- the memory of a machine


def machine_with(root: Path, files: dict[str, str]) -> int:
    for name, text in {"proc/meminfo": "MemTotal:       16777216 kB\n", **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return usable_memory_bytes(root)


def test_without_control_groups_it_is_what_the_machine_has(tmp_path: Path) -> None:
    assert machine_with(tmp_path, {}) == 16 * GIB


def test_version_2_of_control_groups_the_strictest_of_all_above(tmp_path: Path) -> None:
    files = {
        "proc/self/cgroup": "0::/a/b\n",
        "sys/fs/cgroup/a/b/memory.max": "max\n",
        "sys/fs/cgroup/a/memory.max": str(2 * GIB),
    }
    assert machine_with(tmp_path, files) == 2 * GIB


def test_in_a_container_the_limit_is_that_of_the_top(tmp_path: Path) -> None:
    files = {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": str(GIB)}
    assert machine_with(tmp_path, files) == GIB


def test_version_1_of_control_groups(tmp_path: Path) -> None:
    files = {
        "proc/self/cgroup": "4:cpu:/x\n9:memory:/docker/1\n",
        "sys/fs/cgroup/memory/docker/1/memory.limit_in_bytes": str(3 * GIB),
        "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
    }
    assert machine_with(tmp_path, files) == 3 * GIB


def test_nonsense_is_no_limit(tmp_path: Path) -> None:
    files = {"proc/self/cgroup": "what\n0::/\n", "sys/fs/cgroup/memory.max": "lots"}
    assert machine_with(tmp_path, files) == 16 * GIB
