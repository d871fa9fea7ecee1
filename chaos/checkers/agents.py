"""Tasks that real agents worked on.

Verified, from what was acknowledged to those who submitted and from the state in the end: no
acknowledged task is missing, none is there twice, none that nobody submitted; what was committed is
the result of the last attempt that was handed out, of that very task (so no zombie's result was
taken); and after the heal everything is done within a bounded time. Not verified: what agents were
told, as they keep no history; the workload `tasks` judges that with clients of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from chaos.checkers.result import CheckBounds, CheckResult, judged
from chaos.histories.history import Call, HistoryEvent, calls

Wrong = tuple[str, list[Call]]


def check_agents(events: Sequence[HistoryEvent], bounds: CheckBounds) -> CheckResult:
    made = list(calls(events))
    submits = [call for call in made if call.invoke.f == "submit"]
    final = next((call for call in made if call.invoke.f == "list-tasks" and call.ok), None)
    if final is None:
        return judged((), {"submitted": len(submits)}, enough=False)
    tasks: list[Mapping[str, Any]] = final.result
    wrong = [*_missing(submits, tasks), *_surplus(submits, tasks, final)]
    wrong += [(line, [final]) for task in tasks for line in _wrong_end(task)]
    acknowledged = {call.result["task"] for call in submits if call.ok}
    there = {task["task"] for task in tasks}
    facts = {
        "submitted": sum(call.ok for call in submits),
        "unacknowledged_but_there": len(there - acknowledged),
        "there_in_the_end": len(there),
        "committed": sum(task["state"] == "COMPLETED" for task in tasks),
        "attempted_again": sum(task["attempt"] > 1 for task in tasks),
    }
    involved = wrong[0][1] if wrong else []
    return judged([line for line, _ in wrong], facts, involved, enough=facts["committed"] > 0)


def _missing(submits: Sequence[Call], tasks: Sequence[Mapping[str, Any]]) -> Iterator[Wrong]:
    there = {(task["task"], task["payload"]) for task in tasks}
    for call in submits:
        if call.ok and (call.result["task"], call.result["payload"]) not in there:
            yield f"{call.result['task']} was acknowledged and is not there", [call]


def _surplus(
    submits: Sequence[Call], tasks: Sequence[Mapping[str, Any]], final: Call
) -> Iterator[Wrong]:
    asked = {call.invoke.value for call in submits if call.type != "fail"}
    seen: dict[str, str] = {}
    for task in tasks:
        if task["payload"] not in asked:
            yield f"{task['task']} was never submitted", [final]
        other = seen.setdefault(task["payload"], task["task"])
        if other != task["task"]:
            yield f"{other} and {task['task']} are both {task['payload']}", [final]


def _wrong_end(task: Mapping[str, Any]) -> Iterator[str]:
    name, result = task["task"], task["result"]
    if task["state"] != "COMPLETED":
        yield f"{name} was not done in time after the heal, but is {task['state']}"
    elif result["task_id"] != name:
        yield f"{name} has the result of {result['task_id']}"
    elif result["attempt"] != task["attempt"]:
        made_by = f"attempt {result['attempt']}"
        yield f"{name} has the result of {made_by}, but {task['attempt']} had been handed out"
