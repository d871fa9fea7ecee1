"""Every command against a stand-in for the client: what it asks, prints and exits with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from coord.client import Compare, Delete, Get, Put, Stale
from coord.client.transport import errors
from coord.client.types import (
    ClusterStatus,
    DeleteResult,
    KeyValue,
    LeaderTransfer,
    LockInfo,
    LockWaiter,
    PutResult,
    QueueInfo,
    RangeResult,
    SessionInfo,
    SubmittedTask,
    TaskExplanation,
    TaskSpec,
    TaskState,
    TxnResult,
)
from tests.support.cli import Cli, make_digest, make_member, make_task


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(monkeypatch, capsys)


def read_only(error: errors.CoordError) -> errors.CoordError:
    error.read_only = True
    return error


# ---- common options


def test_options_may_stand_before_or_behind_the_command(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli.client.replies["tasks.list"] = []
    monkeypatch.setenv("COORD_ENDPOINTS", "e:1")
    assert cli("task", "list").code == 0
    assert cli("--endpoints", "e:2,e:3", "--timeout-ms", "5", "task", "list").code == 0
    assert cli("--endpoints", "e:2", "task", "list", "--endpoints", "[::1]:4", "-o", "json").json
    assert [made[0] for made in cli.client.made] == ["e:1", "e:2,e:3", "[::1]:4"]
    assert [made[1]["timeout_ms"] for made in cli.client.made] == [10_000, 5, 10_000]
    assert cli("-o", "json", "task", "list").json == {"tasks": []}


@pytest.mark.parametrize(
    "endpoints", ["", "x", "h:", "h:0", "h:70000", ":1", "h:1,", "h:1,,h:2", "h h:1", "http://h:1"]
)
def test_endpoints_that_are_none_are_a_usage_error(cli: Cli, endpoints: str) -> None:
    result = cli("status", f"--endpoints={endpoints or ','}")
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("error: endpoint ")
    assert result.err.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["task", "nonsense"],
        ["task", "get"],
        ["task", "submit"],
        ["task", "submit", "--queue", "q", "--priority", "high"],
        ["task", "submit", "--queue", "q", "--delay-ms", "-1"],
        ["task", "list", "--limit", "0"],
        ["task", "submit", "--queue", "q", "--priority", "99999999999"],
        ["task", "list", "--state", "asleep"],
        ["status", "-o", "xml"],
        ["--timeout-ms", "0", "status"],
        ["lock", "release", "l"],
        ["kv", "put", "k"],
        ["kv", "get", "k", "--prefix", "--value-only"],
    ],
)
def test_wrong_usage_is_exit_code_2_without_a_traceback(cli: Cli, arguments: list[str]) -> None:
    result = cli(*arguments)
    assert result.code == 2
    assert result.err
    assert "Traceback" not in result.err + result.out


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.NoLeaderError("no leader", "NO_LEADER"), 3),
        (errors.DeadlineError("too late", "DEADLINE_EXCEEDED"), 3),
        (read_only(errors.DeadlineError("too late", "DEADLINE_EXCEEDED")), 3),
        (errors.OutcomeUnknownError("cut off", "OUTCOME_UNKNOWN"), 3),
        (errors.NotFoundError("no task t9", "TASK_NOT_FOUND"), 1),
        (errors.InvalidArgumentError("name too long", "INVALID_ARGUMENT"), 1),
        (errors.BusyError("busy", "BUSY"), 1),
        (errors.InternalError("bug", "INTERNAL"), 3),
    ],
)
def test_errors_are_one_line_and_an_exit_code(
    cli: Cli, error: errors.CoordError, code: int
) -> None:
    cli.client.replies["tasks.get"] = error
    result = cli("task", "get", "t9")
    assert (result.code, result.out) == (code, "")
    assert result.err.startswith(f"error: {error.message}")
    assert error.reason in result.err
    assert result.err.count("\n") == 1
    assert ("may have happened" in result.err) is not error.definite


def test_an_unreachable_cluster_is_named_with_its_addresses(cli: Cli) -> None:
    cli.client.replies["tasks.get"] = errors.UnavailableError("connection refused", "UNREACHABLE")
    result = cli("task", "get", "t9", "--endpoints", "h:1,h:2")
    assert (result.code, result.out) == (3, "")
    assert result.err == "error: no node serves at h:1,h:2: connection refused\n"


def test_a_number_beyond_the_protocol_is_a_usage_error(cli: Cli) -> None:
    cli.client.replies["locks.release_by_token"] = ValueError("Value out of range: 1")
    result = cli("lock", "release", "l", "--token", "99999999999999999999999")
    assert (result.code, result.err.count("\n"), cli.client.calls) == (2, 1, [])
    assert "'--token': must be a whole number from 1 to 18,446,744,073,709,551,615" in result.err
    assert cli("lock", "release", "l", "--token", "7").err == "error: Value out of range: 1\n"


def test_an_error_text_cannot_steer_the_terminal(cli: Cli) -> None:
    cli.client.replies["tasks.get"] = errors.NotFoundError("a\x1b[2J\nb", "X")
    assert cli("task", "get", "t9").err == "error: a\\x1b[2J\\nb (X)\n"


def test_ctrl_c_is_exit_code_130(cli: Cli) -> None:
    cli.client.replies["tasks.get"] = KeyboardInterrupt()
    result = cli("task", "get", "t9")
    assert (result.code, result.out, result.err) == (130, "", "")


def test_version(cli: Cli) -> None:
    assert cli("--version").out.startswith("coord 0.")


# ---- cluster

STATUS = ClusterStatus(
    "c",
    "n2",
    3,
    77,
    (
        make_member(1),
        make_member(2, role="leader"),
        make_member(3, role="", reachable=False, term=0, commit_index=0, applied_index=0),
    ),
    "n1",
)


def test_status(cli: Cli) -> None:
    cli.client.replies["cluster.status"] = STATUS
    found = cli("status", "-o", "json").json
    assert {k: found[k] for k in ("cluster_id", "leader", "term", "revision")} == {
        "cluster_id": "c",
        "leader": "n2",
        "term": 3,
        "revision": 77,
    }
    assert found["members"][2]["reachable"] is False
    assert set(found["members"][0]) >= {
        *("id", "address", "role", "term"),
        *("commit_index", "applied_index", "reachable"),
    }
    table = cli("status").out
    assert "leader n2" in table
    assert [line.split()[2] for line in table.splitlines()[2:]] == [
        "follower",
        "leader",
        "unreachable",
    ]


def test_status_shows_alarms(cli: Cli) -> None:
    alarmed = make_member(2, alarms=("SNAPSHOT_FAILED", "LOG_TOO_LARGE"))
    cli.client.replies["cluster.status"] = ClusterStatus(
        "c", "n1", 3, 0, (make_member(1), alarmed), "n1"
    )
    found = cli("status", "-o", "json").json["members"]
    assert [member["alarms"] for member in found] == [[], ["SNAPSHOT_FAILED", "LOG_TOO_LARGE"]]
    assert cli("status").out.splitlines()[-1] == "alarm on n2: SNAPSHOT_FAILED, LOG_TOO_LARGE"


def test_status_without_a_leader(cli: Cli) -> None:
    cli.client.replies["cluster.status"] = ClusterStatus("c", "", 3, 0, (make_member(1),), "n1")
    assert cli("status", "-o", "json").json["leader"] == ""
    assert "leader none" in cli("status").out


@pytest.mark.parametrize(
    ("nodes", "code", "equal", "words"),
    [
        ([make_digest(1), make_digest(2), make_digest(3)], 0, True, ""),
        ([make_digest(1), make_digest(2, digest="bb")], 1, False, "differ at index 5"),
        ([make_digest(1), make_digest(2, index=6, digest="bb")], 1, None, "did not reach one"),
        ([make_digest(1), make_digest(2, error=errors.UnavailableError("x"))], 0, True, ""),
    ],
)
def test_digest(
    cli: Cli,
    monkeypatch: pytest.MonkeyPatch,
    nodes: list[Any],
    code: int,
    equal: bool | None,
    words: str,
) -> None:
    monkeypatch.setattr("coord.cli.digest.PAUSE_SECONDS", 0)
    cli.client.replies["cluster.digests"] = nodes
    result = cli("digest", "-o", "json")
    assert (result.code, result.json["equal"]) == (code, equal)
    assert words in result.err
    assert len(result.json["nodes"]) == len(nodes)
    assert cli("digest").code == code


def test_digest_waits_for_a_node_that_lags(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("coord.cli.digest.PAUSE_SECONDS", 0)
    index = iter([3, 4, 5])
    cli.client.replies["cluster.digests"] = lambda: [make_digest(1), make_digest(2, next(index))]
    assert cli("digest").code == 0
    assert len(cli.client.calls) == 3


def test_digest_of_a_cluster_that_does_not_answer(cli: Cli) -> None:
    cli.client.replies["cluster.digests"] = [make_digest(1, error=errors.UnavailableError("x"))]
    assert cli("digest").code == 3


def test_leader_transfer(cli: Cli) -> None:
    cli.client.replies["cluster.transfer_leader"] = LeaderTransfer("n3", 4)
    assert cli("leader", "transfer", "n3", "-o", "json").json == {"leader": "n3", "term": 4}
    assert cli("leader", "transfer").out == "n3 leads in term 4\n"
    assert [call[1] for call in cli.client.calls] == [("n3",), ("",)]


# ---- tasks


def test_submit_passes_every_option_on(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "p").write_bytes(b"\x00\xff")
    cli.client.replies["tasks.submit"] = SubmittedTask("t5", 9, False)
    result = cli(
        *("task", "submit", "--queue", "q", "--payload", f"@{tmp_path}/p", "--priority", "-2"),
        *("--type", "kind", "--delay-ms", "10", "--idempotency-key", "once"),
        *("--max-attempts", "7", "--max-lost-leases", "8", "--label", "a=1", "--label", "b=2"),
    )
    assert (result.code, result.out) == (0, "t5\n")
    assert cli.client.calls == [
        (
            "tasks.submit",
            ("q", b"\x00\xff"),
            {
                "type": "kind",
                "priority": -2,
                "delay_ms": 10,
                "max_attempts": 7,
                "max_lost_leases": 8,
                "idempotency_key": "once",
                "labels": {"a": "1", "b": "2"},
            },
        )
    ]


def test_submit_prints_json(cli: Cli) -> None:
    cli.client.replies["tasks.submit"] = SubmittedTask("t5", 9, True)
    found = cli("task", "submit", "-q", "q", "-o", "json").json
    assert found == {"task_id": "t5", "revision": 9, "existed": True}


@pytest.mark.parametrize("wrong", [["--payload", "@/no/such/file"], ["--label", "x"]])
def test_submit_refuses_before_it_asks_the_cluster(cli: Cli, wrong: list[str]) -> None:
    result = cli("task", "submit", "-q", "q", *wrong)
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("error: ")
    assert cli.client.calls == []


def test_submit_and_wait_prints_the_result(cli: Cli) -> None:
    ended = iter([make_task(), make_task(state=TaskState.COMPLETED, result=b"42")])
    cli.client.replies["tasks.submit"] = SubmittedTask("t1", 9, False)
    cli.client.replies["tasks.wait"] = lambda *_, **__: [next(ended)]
    assert cli("task", "submit", "-q", "q", "--wait").out == "42\n"


def test_submit_and_wait_for_a_task_that_fails(cli: Cli) -> None:
    cli.client.replies["tasks.submit"] = SubmittedTask("t1", 9, False)
    cli.client.replies["tasks.wait"] = [make_task(state=TaskState.DEAD, last_error="boom")]
    result = cli("task", "submit", "-q", "q", "--wait")
    assert (result.code, result.err.splitlines()[-1]) == (1, "error: task t1 is dead: boom")
    assert cli("task", "submit", "-q", "q", "--wait", "-o", "json").json["state"] == "dead"


def test_get_shows_bytes_as_text_or_base64(cli: Cli) -> None:
    spec = TaskSpec("q", b"\xff", type="kind", max_attempts=3)
    cli.client.replies["tasks.get"] = make_task(spec=spec, result="grün".encode())
    found = cli("task", "get", "t1", "-o", "json").json
    assert (found["payload"], found["payload_encoding"]) == ("/w==", "base64")
    assert (found["result"], found["result_encoding"]) == ("grün", "text")
    table = cli("task", "get", "t1").out
    assert "base64:/w==" in table
    assert "2023-11-14 22:13:20Z" in table
    assert "fencing token" not in table


def test_get_shows_the_lease_of_a_claimed_task(cli: Cli) -> None:
    cli.client.replies["tasks.get"] = make_task(
        state=TaskState.CLAIMED, fencing_token=88, worker="w", lease_remaining_ms=4_500
    )
    table = cli("task", "get", "t1").out
    assert all(word in table for word in ("88", "4.5 s", "claimed"))


def test_list_filters(cli: Cli) -> None:
    cli.client.replies["tasks.list"] = [make_task("t1"), make_task("t2", state=TaskState.DEAD)]
    found = cli("task", "list", "-q", "q", "--state", "dead", "--state", "ready", "-o", "json")
    assert [task["task_id"] for task in found.json["tasks"]] == ["t1", "t2"]
    assert cli.client.calls[0][2]["states"] == [TaskState.DEAD, TaskState.READY]
    assert len(cli("task", "list").out.splitlines()) == 3


def test_cancel_retry_redrive_explain(cli: Cli) -> None:
    cli.client.replies |= {
        "tasks.cancel": TaskState.CANCELLED,
        "tasks.retry": TaskState.READY,
        "tasks.redrive": 3,
        "tasks.explain": TaskExplanation(
            TaskState.READY, "Two tasks go first.", ("BEHIND",), 2, 0, 1
        ),
    }
    assert cli("task", "cancel", "t1", "-o", "json").json["state"] == "cancelled"
    assert cli("task", "retry", "t1").out == "t1 ready\n"
    assert cli("task", "redrive", "q", "-o", "json").json == {"queue": "q", "redriven": 3}
    assert cli("task", "explain", "t1").out.startswith("Two tasks go first.\n")
    assert cli("task", "explain", "t1", "-o", "json").json["reasons"] == ["BEHIND"]


# ---- queues and workers


def test_queues(cli: Cli) -> None:
    queue = QueueInfo("q", True, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11)
    cli.client.replies |= {
        "queues.list": [queue],
        "queues.get": queue,
        "queues.pause": None,
        "queues.resume": None,
    }
    (found,) = cli("queue", "list", "-o", "json").json["queues"]
    assert (found["queue"], found["paused"], found["oldest_ready_ms"]) == ("q", True, 11)
    assert "paused" in cli("queue", "list").out
    assert cli("queue", "pause", "q", "-o", "json").json == {"queue": "q", "paused": True}
    assert cli("queue", "resume", "q").out == "q resumed\n"
    asked = [call[0] for call in cli.client.calls[2:]]
    assert asked == ["queues.get", "queues.pause", "queues.get", "queues.resume"]


def test_workers(cli: Cli) -> None:
    worker = SessionInfo(7, "worker", "w1", {"gpu": "1"}, ("a", "b"), 4, 15_000, 9_000, 2, 0, 7, 0)
    cli.client.replies["sessions.list"] = [worker]
    (found,) = cli("worker", "list", "-o", "json").json["workers"]
    assert (found["name"], found["queues"], found["labels"]) == ("w1", ["a", "b"], {"gpu": "1"})
    assert "gpu=1" in cli("worker", "list").out
    assert cli.client.calls[0][2] == {"kind": "worker", "limit": 1_000_000, "stale": None}


# ---- reads that need not be the newest


@pytest.mark.parametrize(
    ("command", "reply"),
    [
        (("kv", "get", "k"), "kv.get"),
        (("kv", "get", "k", "--prefix"), "kv.get_prefix"),
        (("task", "get", "t1"), "tasks.get"),
        (("task", "list"), "tasks.list"),
        (("queue", "list"), "queues.list"),
        (("lock", "get", "l"), "locks.get"),
        (("lock", "list"), "locks.list"),
        (("worker", "list"), "sessions.list"),
    ],
    ids=" ".join,
)
def test_stale_reads_say_how_old_they_are(cli: Cli, command: tuple[str, ...], reply: str) -> None:
    asked: list[Stale | None] = []
    answers: dict[str, Any] = {"kv.get": PAIR, "tasks.get": make_task("t1"), "locks.get": LOCK}

    def answer(*_: Any, stale: Stale | None, **__: Any) -> Any:
        asked.append(stale)
        if stale is not None:
            stale.note((("coord-age-ms", "70"), ("coord-applied-index", "9")))
        return answers.get(reply, [])

    cli.client.replies[reply] = answer
    result = cli(*command, "--max-stale-ms", "500")
    assert (result.code, result.err) == (0, "age: up to 70 ms (applied index 9)\n")
    result = cli(*command, "--stale", "-o", "json")
    assert result.json["stale"] == {"age_ms": 70, "applied_index": 9}
    result = cli(*command, "-o", "json")
    assert "stale" not in result.json
    assert result.err == ""
    assert [stale and stale.max_ms for stale in asked] == [500, None, None]
    assert asked[1] is not None
    assert asked[2] is None


def test_too_old_is_a_refusal(cli: Cli) -> None:
    cli.client.replies["tasks.list"] = errors.TooStaleError("it is up to 70 ms old", "TOO_STALE")
    result = cli("task", "list", "--max-stale-ms", "10")
    assert (result.code, result.err) == (1, "error: it is up to 70 ms old\n")


# ---- locks (acquiring is tested with real processes)

LOCK = LockInfo("l", True, 5, "me", 42, 900, (LockWaiter(6, "you"),), 1)


def test_locks(cli: Cli) -> None:
    cli.client.replies |= {"locks.get": LOCK, "locks.list": [LOCK], "locks.release_by_token": None}
    found = cli("lock", "get", "l", "-o", "json").json
    assert (found["held"], found["fencing_token"]) == (True, 42)
    assert found["waiters"] == [{"session_id": 6, "holder": "you"}]
    assert "you (6)" in cli("lock", "get", "l").out
    assert cli("lock", "list", "-o", "json").json["locks"][0]["name"] == "l"
    assert cli("lock", "list").out.splitlines()[1].split()[:4] == ["l", "me", "5", "42"]
    assert cli("lock", "release", "l", "--token", "42").out == "l released\n"


def test_acquiring_a_held_lock_without_waiting(cli: Cli) -> None:
    cli.client.replies |= {"locks.lock": errors.LockNotAcquiredError("x"), "locks.get": LOCK}
    result = cli("lock", "acquire", "l", "--wait-ms", "0")
    assert (result.code, result.err) == (1, "error: lock 'l' is held by me (5)\n")


def test_a_lock_nobody_has(cli: Cli) -> None:
    cli.client.replies["locks.get"] = None
    result = cli("lock", "get", "l")
    assert (result.code, result.err) == (1, "error: nobody holds lock 'l' or waits for it\n")


# ---- keys and values

PAIR = KeyValue(b"k", b"\xfe", 1, 2, 3)


def test_kv_get(cli: Cli) -> None:
    cli.client.replies |= {"kv.get": PAIR, "kv.get_prefix": [PAIR, PAIR]}
    (found,) = cli("kv", "get", "k", "-o", "json").json["kvs"]
    assert (found["value"], found["value_encoding"], found["key"]) == ("/g==", "base64", "k")
    assert "base64:/g==" in cli("kv", "get", "k").out
    assert len(cli("kv", "get", "k", "--prefix", "-o", "json").json["kvs"]) == 2


def test_kv_get_of_a_key_that_is_not_there(cli: Cli) -> None:
    cli.client.replies |= {"kv.get": None, "kv.get_prefix": []}
    result = cli("kv", "get", "k")
    assert (result.code, result.err) == (1, "error: no key 'k'\n")
    assert cli("kv", "get", "k", "--prefix").code == 0


def test_kv_put_and_delete(cli: Cli) -> None:
    cli.client.replies |= {"kv.put": 12, "kv.delete": True, "kv.delete_prefix": 3}
    assert cli("kv", "put", "k", "v", "-o", "json").json["revision"] == 12
    assert cli("kv", "del", "k").out == "1 key deleted\n"
    assert cli("kv", "del", "k", "--prefix", "-o", "json").json == {"deleted": 3}
    cli.client.replies["kv.delete"] = False
    assert cli("kv", "del", "k").code == 1
    assert cli.client.calls[0][1] == (b"k", b"v")


def test_kv_txn(cli: Cli) -> None:
    responses = (PutResult(9), RangeResult((PAIR,), False, 1, 9), DeleteResult(1, 9))
    cli.client.replies["kv.txn"] = TxnResult(True, 9, responses)
    arguments = (
        *("kv", "txn", "--if", "value(k) = x", "--if", "mod(k) > 3", "--if", "version(k) != 0"),
        *("--then", "put k 'a b'", "--then", "get k", "--then", "del j", "--else", "get j"),
    )
    found = cli(*arguments, "-o", "json").json
    assert (found["succeeded"], found["revision"]) == (True, 9)
    assert [response["kind"] for response in found["responses"]] == ["put", "get", "del"]
    assert cli.client.calls[0][1] == (
        [
            Compare.value(b"k", "=", b"x"),
            Compare.mod_revision(b"k", ">", 3),
            Compare.version(b"k", "!=", 0),
        ],
        [Put(b"k", b"a b"), Get(b"k"), Delete(b"j")],
        [Get(b"j")],
    )
    assert cli(*arguments).out == (
        "conditions held\nput: revision 9\nget: k = base64:/g==\ndel: 1 key deleted\n"
    )


def test_kv_txn_without_anything_to_do(cli: Cli) -> None:
    assert cli("kv", "txn", "--if", "value(k) = x").code == 2


def test_a_key_that_is_not_utf8_is_passed_as_it_is(cli: Cli) -> None:
    cli.client.replies["kv.put"] = 1
    found = cli("kv", "put", "k\udcff", "v", "-o", "json").json
    assert (found["key"], found["key_encoding"]) == ("a/8=", "base64")
    assert cli.client.calls[0][1] == (b"k\xff", b"v")


def test_text_that_is_not_utf8_is_a_usage_error(cli: Cli) -> None:
    cli.client.replies["tasks.get"] = lambda task_id, **_: task_id.encode()
    result = cli("task", "get", "t\udcff")
    assert (result.code, result.err) == (2, "error: an argument is not valid UTF-8\n")
