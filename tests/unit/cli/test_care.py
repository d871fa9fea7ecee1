"""Slips that commands catch, waits that end, and errors that say what to do."""

from __future__ import annotations

from typing import Any

import pytest

from coord.client.transport import errors
from coord.client.types import (
    ClusterStatus,
    Member,
    QueueInfo,
    SessionInfo,
    SubmittedTask,
    TaskExplanation,
    TaskState,
)
from tests.support.cli import Cli, make_member, make_task

SESSION = SessionInfo(7, "worker", "w1", {"gpu": "1"}, ("a",), 4, 15_000, 9_000, 2, 0, 7, 0)
QUEUE = QueueInfo("q", False, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11)


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(monkeypatch, capsys)


def names(cli: Cli) -> list[str]:
    return [call[0] for call in cli.client.calls]


# ---- waiting


def test_submit_and_wait_tells_the_id_before_it_waits(
    cli: Cli, capsys: pytest.CaptureFixture[str]
) -> None:
    told: list[str] = []

    def wait(*_: Any, **__: Any) -> list[Any]:
        told.append(capsys.readouterr().err)
        return [make_task(state=TaskState.COMPLETED, result=b"42")]

    cli.client.replies |= {"tasks.submit": SubmittedTask("t1", 9, False), "tasks.wait": wait}
    assert cli("task", "submit", "-q", "q", "--wait").out == "42\n"
    assert told == ["t1 is submitted; waiting for its end\n"]


def test_submit_and_wait_ends_after_its_bound(cli: Cli) -> None:
    cli.client.replies |= {
        "tasks.submit": SubmittedTask("t1", 9, False),
        "tasks.wait": [make_task()],
    }
    result = cli("task", "submit", "-q", "q", "--wait-ms", "200")
    assert (result.code, result.out) == (1, "")
    assert result.err.splitlines()[-1] == (
        "error: task t1 is not at an end after 200 ms (ready); 'coord task wait t1' goes on waiting"
    )
    assert cli.client.calls[-1][2]["timeout_ms"] <= 200


def test_ctrl_c_while_waiting_says_how_to_go_on(cli: Cli) -> None:
    cli.client.replies |= {
        "tasks.submit": SubmittedTask("t1", 9, False),
        "tasks.wait": KeyboardInterrupt(),
    }
    result = cli("task", "submit", "-q", "q", "--wait")
    assert result.code == 130
    assert "t1 is submitted" in result.err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.DeadlineError("no answer", "DEADLINE_EXCEEDED"), 3),
        (errors.UnavailableError("gone", "UNREACHABLE"), 3),
        (errors.NotFoundError("not known: t1", "TASK_NOT_FOUND"), 1),
    ],
)
def test_an_error_while_waiting_does_not_lose_the_id(
    cli: Cli, error: errors.CoordError, code: int
) -> None:
    cli.client.replies |= {"tasks.submit": SubmittedTask("t1", 9, False), "tasks.wait": error}
    result = cli("task", "submit", "-q", "q", "--wait")
    assert result.code == code
    assert "t1" in result.err.splitlines()[-1]
    assert "may have happened" not in result.err


def test_wait_for_several_tasks(cli: Cli) -> None:
    done = make_task("t1", state=TaskState.COMPLETED, result=b"42")
    dead = make_task("t2", state=TaskState.DEAD, last_error="Boom: x\n  File y")
    cli.client.replies["tasks.wait"] = [done]
    assert cli("task", "wait", "t1", "t1").code == 0
    assert cli.client.calls[0][1] == (["t1"],)
    cli.client.replies["tasks.wait"] = [done, dead]
    result = cli("task", "wait", "t1", "t2", "-o", "json")
    assert [task["state"] for task in result.json["tasks"]] == ["completed", "dead"]
    assert (result.code, result.err) == (1, "error: 1 task of 2 did not complete\n")
    assert "Boom: x" in cli("task", "wait", "t1", "t2").out
    cli.client.replies["tasks.wait"] = [make_task("t1"), make_task("t2")]
    result = cli("task", "wait", "t1", "t2", "--wait-ms", "1")
    assert (result.code, result.err.count("\n")) == (1, 1)
    assert "2 tasks are not at an end after 1 ms" in result.err


# ---- a repeated idempotency key


@pytest.mark.parametrize(
    ("arguments", "differs"),
    [
        (["--payload", "payload"], []),
        (["--payload", "other"], ["payload"]),
        (["--payload", "payload", "--type", "t"], ["type"]),
        (["--payload", "other", "--type", "t"], ["type", "payload"]),
    ],
)
def test_a_key_used_again_for_something_else_is_told(
    cli: Cli, arguments: list[str], differs: list[str]
) -> None:
    cli.client.replies |= {"tasks.submit": SubmittedTask("t1", 9, True), "tasks.get": make_task()}
    command = ["task", "submit", "-q", "q", "--idempotency-key", "k", *arguments]
    result = cli(*command)
    assert (result.code, result.out) == (0, "t1\n")
    assert ("yours was not submitted" in result.err) is bool(differs)
    assert cli(*command, "-o", "json").json.get("differs", []) == differs


def test_a_key_used_the_first_time_is_not_looked_up(cli: Cli) -> None:
    cli.client.replies["tasks.submit"] = SubmittedTask("t1", 9, False)
    assert cli("task", "submit", "-q", "q", "--idempotency-key", "k").err == ""
    assert names(cli) == ["tasks.submit"]


# ---- why a task ended


def test_explain_says_why_a_task_is_dead_and_what_to_do(cli: Cli) -> None:
    cli.client.replies |= {
        "tasks.explain": TaskExplanation(
            TaskState.DEAD, "Task t1: it is DEAD.", ("FINISHED", "ATTEMPTS_USED"), 0, 0, 1
        ),
        "tasks.get": make_task(
            state=TaskState.DEAD, attempt=3, lost_leases=1, last_error="Boom: x\n  File y"
        ),
    }
    said = cli("task", "explain", "t1").out
    for words in ("3 of 3", "lost leases", "Boom: x\n", "  File y\n", "coord task retry t1"):
        assert words in said
    assert "coord task redrive q" in said
    found = cli("task", "explain", "t1", "-o", "json").json
    assert (found["attempt"], found["max_attempts"], found["lost_leases"]) == (3, 3, 1)
    assert found["last_error"] == "Boom: x\n  File y"


def test_an_error_of_several_lines_is_one_line_in_a_list_and_several_alone(cli: Cli) -> None:
    error = 'Boom: x\n  File "y", line 1\n    raise'
    cli.client.replies |= {
        "tasks.list": [make_task(last_error=error)],
        "tasks.get": make_task(last_error=error),
    }
    assert cli("task", "list").out.splitlines()[1].endswith("Boom: x")
    lines = cli("task", "get", "t1").out.splitlines()
    assert [line.strip() for line in lines if "Boom" in line or "File" in line] == [
        "last error  Boom: x",
        'File "y", line 1',
    ]
    assert r"\n" not in "".join(lines)


# ---- empty lists


@pytest.mark.parametrize(
    ("arguments", "reply", "words", "key"),
    [
        (["task", "list"], "tasks.list", "no tasks", "tasks"),
        (["task", "list", "-q", "x"], "tasks.list", "no such tasks", "tasks"),
        (["queue", "list"], "queues.list", "no queues", "queues"),
        (["worker", "list"], "sessions.list", "no workers", "workers"),
        (["session", "list"], "sessions.list", "no sessions", "sessions"),
        (["kv", "get", "--prefix", "a"], "kv.get_prefix", "no keys", "kvs"),
    ],
)
def test_an_empty_list_says_so(
    cli: Cli, arguments: list[str], reply: str, words: str, key: str
) -> None:
    cli.client.replies[reply] = []
    result = cli(*arguments)
    assert (result.code, result.out.count("\n")) == (0, 1)
    assert result.out.startswith(words)
    assert cli(*arguments, "-o", "json").json == {key: []}


def test_a_list_that_is_cut_says_how_to_go_on(cli: Cli) -> None:
    cli.client.replies["tasks.list"] = [make_task("t1"), make_task("t2")]
    assert "--after t2" in cli("task", "list", "--limit", "2").err
    assert cli("task", "list", "--limit", "3").err == ""


# ---- slips


def test_a_queue_is_not_made_by_a_slip(cli: Cli) -> None:
    cli.client.replies |= {
        "queues.get": errors.NotFoundError("no queue 'typo'", "QUEUE_NOT_FOUND"),
        "queues.pause": None,
        "queues.resume": None,
    }
    for verb in ("pause", "resume"):
        result = cli("queue", verb, "typo")
        assert (result.code, result.err.count("\n")) == (1, 1)
        assert "no queue 'typo'" in result.err
    assert names(cli) == ["queues.get", "queues.get"]
    assert cli("queue", "pause", "new", "--create").code == 0
    assert names(cli)[2:] == ["queues.pause"]


def test_all_keys_are_deleted_only_when_all_is_said(cli: Cli) -> None:
    cli.client.replies["kv.delete_prefix"] = 4
    for slip in (["--prefix", ""], ["--prefix"], [], [""], ["k", "--all"], ["--prefix", "--all"]):
        result = cli("kv", "del", *slip)
        assert (result.code, result.out, result.err.count("\n")) == (2, "", 1), slip
    assert names(cli) == []
    assert cli("kv", "del", "--all").out == "4 keys deleted\n"
    assert cli.client.calls[0][1] == (b"",)


@pytest.mark.parametrize("command", [["get", ""], ["put", "", "v"], ["del", ""]])
def test_an_empty_key_is_wrong_usage(cli: Cli, command: list[str]) -> None:
    result = cli("kv", *command)
    assert (result.code, result.err) == (2, "error: KEY must not be empty\n")


MEMBERS = [Member(f"n{n}", f"h:{n}", f"h:10{n}", False) for n in (1, 2, 3)]
NEW = ["--address", "h:9", "--peer-address", "h:109"]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["n1", "n1", *NEW], 2, "OLD and NEW are both 'n1'"),
        (["n1", "n2", *NEW], 1, "n2 is a member already, at h:2 and h:102"),
        (["n1", "n2", "--address", "h:2", "--peer-address", "h:102"], 1, "votes already"),
        (
            ["n1", "n9", "--address", "h:2", "--peer-address", "h:109"],
            1,
            "h:2 is the address of n2",
        ),
        (["n1", "n9", "--address", "h:9", "--peer-address", "h:103"], 1, "the address of n3"),
        (["nx", "n9", *NEW], 1, "there is no member 'nx', only n1, n2, n3"),
        (["n1", "n9", "--address", "h:9", "--peer-address", "h:9"], 2, "must differ"),
        (["n1", "n9", "--address", "h", "--peer-address", "h:9"], 2, "--address must be HOST:PORT"),
    ],
)
def test_a_replacement_that_cannot_be_changes_nothing(
    cli: Cli, arguments: list[str], code: int, words: str
) -> None:
    cli.client.replies["cluster.members"] = MEMBERS
    result = cli("member", "replace", *arguments)
    assert (result.code, result.out, result.err.count("\n")) == (code, "", 1)
    assert words in result.err
    assert set(names(cli)) <= {"cluster.members"}


@pytest.mark.parametrize("address", [["h:9", "h:109"], ["h:1", "h:101"]])
def test_a_new_node_may_take_over_the_addresses_of_the_old_one(
    cli: Cli, address: list[str]
) -> None:
    cli.client.replies |= {
        f"cluster.{name}": MEMBERS
        for name in ("members", "remove_member", "add_member", "promote_member")
    }
    where = ["--address", address[0], "--peer-address", address[1]]
    assert cli("member", "replace", "n1", "n9", *where).code == 0
    verbs = ["members", "remove_member", "add_member", "promote_member"]
    assert names(cli) == [f"cluster.{name}" for name in verbs]


def test_an_interrupted_replacement_is_taken_up_again(cli: Cli) -> None:
    cli.client.replies |= {
        "cluster.members": [*MEMBERS[1:], Member("n9", "h:9", "h:109", True)],
        "cluster.add_member": MEMBERS,
        "cluster.promote_member": MEMBERS,
    }
    assert cli("member", "replace", "n1", "n9", *NEW).code == 0
    assert names(cli)[1:] == ["cluster.add_member", "cluster.promote_member"]


# ---- sessions


def test_sessions(cli: Cli) -> None:
    cli.client.replies |= {"sessions.list": [SESSION], "sessions.close": None}
    (found,) = cli("session", "list", "--kind", "worker", "-o", "json").json["sessions"]
    assert found == {
        "session_id": 7,
        "kind": "worker",
        "name": "w1",
        "queues": ["a"],
        "slots": 4,
        "labels": {"gpu": "1"},
        "tasks_held": 2,
        "locks_held": 0,
        "ttl_ms": 15_000,
        "remaining_ms": 9_000,
        "opened_unix_ms": 0,
    }
    assert cli.client.calls[0][2] == {"kind": "worker", "limit": 1_000, "after": 0, "stale": None}
    assert "w1" in cli("session", "list").out
    assert cli("session", "close", "7", "-o", "json").json == {"session_id": 7, "closed": True}
    assert cli.client.calls[-1][1] == (7,)


@pytest.mark.parametrize("text", ["x", "0", "-1", "1.5", "9" * 30, ""])
def test_a_session_id_is_a_number(cli: Cli, text: str) -> None:
    result = cli("session", "close", "--", text)
    assert (result.code, result.err.count("\n"), names(cli)) == (2, 1, [])


def test_a_session_that_is_over_cannot_be_closed(cli: Cli) -> None:
    cli.client.replies["sessions.close"] = errors.SessionExpiredError("gone", "SESSION_NOT_FOUND")
    assert cli("session", "close", "7").code == 1


# ---- no leader, no cluster


def test_no_leader_says_how_many_members_answer(cli: Cli) -> None:
    cli.client.replies |= {
        "tasks.list": errors.NoLeaderError("no leader is known", "NO_LEADER"),
        "cluster.status": ClusterStatus(
            "c", "", 3, 0, tuple(make_member(n, reachable=n == 1) for n in (1, 2, 3)), "n1"
        ),
    }
    result = cli("task", "list")
    assert (result.code, result.err.count("\n")) == (3, 1)
    assert result.err.startswith("error: no majority, so no leader: of 3 members only n1 answers")
    assert "2 are needed (NO_LEADER)" in result.err


def test_an_election_is_not_told_as_a_lost_majority(cli: Cli) -> None:
    cli.client.replies |= {
        "tasks.list": errors.NoLeaderError("no leader is known", "NO_LEADER"),
        "cluster.status": ClusterStatus(
            "c", "", 3, 0, tuple(make_member(n) for n in (1, 2, 3)), "n1"
        ),
    }
    assert cli("task", "list").err == "error: no leader is known (NO_LEADER)\n"


def test_status_waits_a_second_unless_told_otherwise(cli: Cli) -> None:
    cli.client.replies["cluster.status"] = errors.UnavailableError("nobody listens", "UNREACHABLE")
    assert cli("status").code == 3
    assert cli("status", "--timeout-ms", "9000").code == 3
    assert [made[1]["timeout_ms"] for made in cli.client.made] == [1_000, 9_000]


def test_status_tells_what_is_odd_about_a_member(cli: Cli) -> None:
    members = (make_member(1), make_member(2, reachable=False, note="it runs, but elsewhere"))
    cli.client.replies["cluster.status"] = ClusterStatus("c", "n1", 3, 0, members, "n1")
    assert cli("status").out.endswith("n2: it runs, but elsewhere\n")
    assert cli("status", "-o", "json").json["members"][1]["note"] == "it runs, but elsewhere"


def test_status_has_patience_with_a_node_that_is_there_but_slow(cli: Cli) -> None:
    slow = errors.DeadlineError("no answer", "DEADLINE_EXCEEDED")
    found = ClusterStatus("c", "n1", 3, 0, (make_member(1),), "n1")
    answers: list[Any] = [slow, found]

    def answer(**_: Any) -> ClusterStatus:
        reply = answers.pop(0)
        if isinstance(reply, Exception):
            raise reply
        return reply  # type: ignore[no-any-return]

    cli.client.replies["cluster.status"] = answer
    assert cli("status").code == 0
    assert cli.client.calls[-1][2] == {"timeout_ms": 5_000}
    answers[:] = [slow]
    assert cli("status", "--timeout-ms", "300").code == 3
