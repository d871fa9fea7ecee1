"""Real `agentnode` processes against a real node: run, exec, drain, kill, suspend."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from agentnode.executors import RegistryRunner
from agentnode.registry import Registry
from agentnode.worker import Worker
from coord.client import Client, InvalidArgumentError, SubmittedTask, Task, TaskSpec, TaskState
from tests.support.agent_processes import HANDLERS, agent
from tests.support.agentnode import config
from tests.support.rpc import local_node
from tests.support.waiting import eventually

pytestmark = [pytest.mark.integration, pytest.mark.timeout(90)]

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
async def endpoints() -> AsyncIterator[str]:
    async with local_node() as node:
        yield node.address


@pytest.fixture
async def client(endpoints: str) -> AsyncIterator[Client]:
    async with Client(endpoints, name="test") as opened:
        yield opened


@pytest.fixture
def queue() -> str:
    return f"q-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "handlers.py").write_text(HANDLERS)
    return tmp_path


@pytest.fixture
def run(endpoints: str, queue: str) -> list[str]:
    """The arguments of a worker of this test's queue."""
    return ["run", "handlers.py", "--queues", queue, "--endpoints", endpoints]


def started(folder: Path, attempt: int | str = "*") -> list[Path]:
    return list(folder.glob(f"started-*-{attempt}-*"))


def effects(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("effect-*"))


async def submit_step(client: Client, queue: str, folder: Path, **options: str) -> SubmittedTask:
    payload = json.dumps({"folder": str(folder), **options}).encode()
    return await client.tasks.submit(queue, payload, type="step", backoff_initial_ms=1)


async def ended(client: Client, *tasks: SubmittedTask, timeout_ms: int = 30_000) -> list[Task]:
    found = await client.tasks.wait([task.task_id for task in tasks], timeout_ms=timeout_ms)
    assert all(task.state is TaskState.COMPLETED for task in found), found
    return found


async def test_worker_commits_every_task_once(client: Client, endpoints: str, queue: str) -> None:
    registry, ran = Registry(), []

    @registry.task()
    def square(payload: int) -> int:
        ran.append(payload)
        return payload * payload

    specs = [TaskSpec(queue=queue, payload=str(n).encode()) for n in range(200)]
    tasks = await client.tasks.submit_many(specs)
    async with Client(endpoints, name="worker", kind="worker") as own:
        worker = Worker(own, RegistryRunner(registry), config(queues=(queue,), slots=8))
        running = asyncio.create_task(worker.run())
        done = await ended(client, *tasks)
        worker.stop()
        await asyncio.wait_for(running, 10)
    assert [json.loads(task.result) for task in done] == [n * n for n in range(200)]
    assert sorted(ran) == list(range(200))
    assert all(task.attempt == 1 for task in done)


async def test_run_serves_the_hello_example(
    client: Client, endpoints: str, queue: str, tmp_path: Path
) -> None:
    module = str(EXAMPLES / "hello" / "tasks.py")
    hello = await client.tasks.submit(queue, b'"world"', type="hello")
    total = await client.tasks.submit(queue, b'{"values": [1, 2, 3]}', type="total")
    once = await client.tasks.submit(queue, b'"news"', type="announce")
    arguments = ["run", module, "--queues", queue, "--endpoints", endpoints, "--slots", "3"]
    async with agent(tmp_path, *arguments, "--label", "zone=a", "--name", queue) as process:
        done = await ended(client, hello, total, once)
        workers = [s for s in await client.sessions.list(kind="worker") if s.name == queue]
        process.signal(signal.SIGTERM)
        assert await process.wait() == 0
    assert [json.loads(task.result) for task in done] == [
        "Hello, world!",
        {"total": 6},
        "announced by attempt 1",
    ]
    assert [(w.queues, w.slots, dict(w.labels)) for w in workers] == [((queue,), 3, {"zone": "a"})]
    gone = [s for s in await client.sessions.list(kind="worker") if s.name == queue]
    assert gone == []


async def test_exec_runs_any_language(
    client: Client, endpoints: str, queue: str, tmp_path: Path
) -> None:
    good = await client.tasks.submit(queue, b'{"text": "so many words"}')
    bad = await client.tasks.submit(queue, b"[]")
    script = str(EXAMPLES / "any_language" / "word_count.sh")
    async with agent(
        tmp_path, "exec", "--queues", queue, "--endpoints", endpoints, "--", script
    ) as process:
        (done,) = await ended(client, good)
        (dead,) = await client.tasks.wait([bad.task_id], timeout_ms=20_000)
        process.signal(signal.SIGTERM)
        assert await process.wait() == 0
    assert json.loads(done.result) == {"words": 3}
    assert dead.state is TaskState.DEAD
    assert "exit code 65" in dead.last_error
    assert dead.attempt == 1


async def test_sigterm_finishes_what_runs_and_takes_nothing_new(
    client: Client, queue: str, folder: Path, run: list[str]
) -> None:
    first = await submit_step(client, queue, folder)
    async with agent(folder, *run) as process:
        await eventually(lambda: started(folder))
        second = await submit_step(client, queue, folder)
        process.signal(signal.SIGTERM)
        await eventually(lambda: "draining" in process.log)
        (folder / "go").touch()
        assert await process.wait() == 0
    (done,) = await ended(client, first)
    assert json.loads(done.result)["attempt"] == 1
    assert (await client.tasks.get(second.task_id)).state is TaskState.READY


async def test_drain_time_out_gives_the_task_back_with_its_checkpoint(
    client: Client, queue: str, folder: Path, run: list[str]
) -> None:
    task = await submit_step(client, queue, folder, checkpoint="yes", obedient="yes")
    async with agent(folder, *run, "--drain-timeout-ms", "50") as process:
        await eventually(lambda: started(folder))
        process.signal(signal.SIGTERM)
        assert await process.wait() == 0
    back = await client.tasks.get(task.task_id)
    assert (back.state, back.checkpoint) == (TaskState.READY, b"1")
    assert back.lost_leases == 0
    (folder / "go").touch()
    async with agent(folder, *run):
        (done,) = await ended(client, task)
    result = json.loads(done.result)
    # Given back, not failed: the attempt did not count.
    assert (result["attempt"], result["before"]) == (1, 1)


async def test_second_sigterm_ends_a_stubborn_handler_at_once(
    client: Client, queue: str, folder: Path, run: list[str]
) -> None:
    task = await submit_step(client, queue, folder)
    async with agent(folder, *run, "--drain-timeout-ms", "80000") as process:
        await eventually(lambda: started(folder))
        process.signal(signal.SIGTERM)
        await eventually(lambda: "draining" in process.log)
        process.signal(signal.SIGTERM)
        assert await process.wait(15) == 0
    assert (await client.tasks.get(task.task_id)).state is TaskState.READY


async def test_killed_agent_loses_its_task_to_another_and_one_commit_remains(
    client: Client, queue: str, folder: Path, run: list[str]
) -> None:
    task = await submit_step(client, queue, folder, checkpoint="yes", effect="yes")
    short = [*run, "--lease-ttl-ms", "1000"]
    async with agent(folder, *short) as victim:
        await eventually(lambda: started(folder, 1))
        victim.signal(signal.SIGKILL)
        await victim.wait()
        async with agent(folder, *short) as other:
            await eventually(lambda: started(folder, 2))
            (folder / "go").touch()
            (done,) = await ended(client, task)
            result = json.loads(done.result)
            assert (result["attempt"], result["before"]) == (2, 1)
            assert other.pid in result["pids"]
            assert (done.attempt, done.lost_leases) == (2, 1)
    # The side effect of the first attempt was not repeated by the second.
    assert effects(folder) == ["effect-1"]


async def test_suspended_agent_wakes_up_to_a_lost_lease_and_commits_nothing(
    client: Client, queue: str, folder: Path, run: list[str]
) -> None:
    task = await submit_step(client, queue, folder)
    short = [*run, "--lease-ttl-ms", "1000"]
    async with agent(folder, *short) as sleeper:
        await eventually(lambda: started(folder, 1))
        sleeper.signal(signal.SIGSTOP)
        async with agent(folder, *short) as other:
            await eventually(lambda: started(folder, 2))
            # Both handlers may now finish; only the holder's result counts.
            sleeper.signal(signal.SIGCONT)
            (folder / "go").touch()
            (done,) = await ended(client, task)
            await eventually(lambda: "task dropped" in sleeper.log)
            assert other.pid in json.loads(done.result)["pids"]
            assert "task committed" not in sleeper.log
            assert (await client.tasks.get(task.task_id)).result == done.result


async def test_long_handler_outlives_its_lease_many_times(
    client: Client, queue: str, folder: Path, run: list[str]
) -> None:
    task = await submit_step(client, queue, folder)
    async with agent(folder, *run, "--lease-ttl-ms", "600"):
        await eventually(lambda: started(folder))
        held_until = time.monotonic() + 2.0
        await eventually(lambda: time.monotonic() > held_until)
        assert len(started(folder)) == 1
        (folder / "go").touch()
        (done,) = await ended(client, task)
    assert (done.attempt, done.lost_leases) == (1, 0)


async def test_supervised_processes_come_back_after_a_crash(
    client: Client, queue: str, folder: Path, run: list[str]
) -> None:
    task = await submit_step(client, queue, folder)
    options = ["--processes", "2", "--lease-ttl-ms", "1000"]
    async with agent(folder, *run, *options) as supervisor:
        await eventually(lambda: started(folder, 1))
        os.kill(int(started(folder, 1)[0].name.rsplit("-", 1)[1]), signal.SIGKILL)
        await eventually(lambda: supervisor.log.count("worker process started") == 3)
        (folder / "go").touch()
        await ended(client, task)
        children = psutil.Process(supervisor.pid).children()
        supervisor.signal(signal.SIGTERM)
        assert await supervisor.wait() == 0
    assert len(children) == 2
    assert not any(child.is_running() for child in children)


async def test_workers_of_a_killed_supervisor_leave(
    client: Client, queue: str, folder: Path, run: list[str]
) -> None:
    async with agent(folder, *run, "--processes", "2") as supervisor:
        await eventually(lambda: supervisor.log.count("worker started") == 2)
        children = psutil.Process(supervisor.pid).children()
        supervisor.signal(signal.SIGKILL)
        await supervisor.wait()
        await eventually(lambda: not any(child.is_running() for child in children))
    assert len(children) == 2


async def test_refused_claim_is_exit_code_1(endpoints: str, folder: Path, run: list[str]) -> None:
    run[run.index("--queues") + 1] = "q" * 300
    async with agent(folder, *run) as process:
        assert await process.wait() == 1
        assert process.log.splitlines()[-1].startswith("agentnode: the cluster refuses")
        assert "Traceback" not in process.log


async def test_a_task_without_a_handler_waits_uncounted_for_a_worker_that_has_one(
    client: Client, queue: str, folder: Path, run: list[str]
) -> None:
    (folder / "older.py").write_text(
        "from agentnode import Registry\nregistry = Registry()\nregistry.task('old')(print)\n"
    )
    older = [run[0], "older.py", *run[2:], "--name", "older"]
    async with agent(folder, *older) as process:
        tasks = [await client.tasks.submit(queue, b"1", type="double") for _ in range(12)]
        await eventually(lambda: "task passed on" in process.log)
        told = await client.tasks.explain(tasks[0].task_id)
        while "GIVEN_BACK" not in told.reasons:  # it is claimed again from time to time
            await asyncio.sleep(0.05)
            told = await client.tasks.explain(tasks[0].task_id)
        assert "worker older gave it back" in told.summary
        assert "no handler for type 'double'" in told.summary
    # The older one would go on taking them, each time for a longer delay.
    async with agent(folder, *run, "--slots", "4"):
        done = await ended(client, *tasks)
    assert {task.attempt for task in done} == {1}


async def test_lost_leases_that_are_allowed_are_bounded(client: Client, queue: str) -> None:
    task = await client.tasks.submit(queue, max_lost_leases=1_000)
    assert (await client.tasks.get(task.task_id)).spec.max_lost_leases == 1_000
    with pytest.raises(InvalidArgumentError, match="max_lost_leases is 1001; allowed is 0 to 1000"):
        await client.tasks.submit(queue, max_lost_leases=1_001)
