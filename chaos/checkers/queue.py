"""A task queue loses nothing and commits nothing twice.

Verified: every acknowledged task is in the final list, as committed, pending or dead; equal
submissions made one task; nothing is in the list that nobody submitted; no task has two
acknowledged commits, and the one it has is the result in the list; no commit was acknowledged for a
token after a newer one had been handed out; tokens of a task grow; no task is handed out, or fails,
after its commit; a task given up for good is dead. Not verified: order, priorities, how soon a task
is handed out, and that an attempt was counted.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from chaos.checkers.result import CheckBounds, CheckResult, judged
from chaos.histories.history import Call, HistoryEvent, calls

Wrong = tuple[str, list[Call]]


@dataclass(slots=True)
class _Story:
    """Everything that happened to one task. `claims`: (token, the claim's call)."""

    submits: list[Call] = field(default_factory=list)
    claims: list[tuple[int, Call]] = field(default_factory=list)
    completes: list[Call] = field(default_factory=list)
    fails: list[Call] = field(default_factory=list)

    @property
    def committed(self) -> list[Call]:
        return [call for call in self.completes if call.ok]


def check_queue(events: Sequence[HistoryEvent], bounds: CheckBounds) -> CheckResult:
    made = list(calls(events))
    stories = _stories(made)
    final = next((c for c in reversed(made) if c.invoke.f == "list-tasks" and c.ok), None)
    wrong: list[Wrong] = list(_submissions(made))
    for task, story in stories.items():
        for check in (_tokens_grow, _one_commit, _only_current_commits, _nothing_after_commit):
            wrong += [(f"{task}: {line}", shown) for line, shown in check(story)]
    states: Counter[str] = Counter()
    if final is not None:
        wrong += _final(final, made, stories)
        states = Counter(task["state"].lower() for task in final.result)
    acknowledged = {t for t, story in stories.items() if story.submits}
    there = {task["task"] for task in final.result} if final is not None else set()
    facts = {
        # Acknowledged and unacknowledged are what is there in the end, unless some are lost.
        "acknowledged": len(acknowledged),
        "unacknowledged_but_there": len(there - acknowledged),
        "there_in_the_end": len(there),
        "in_the_end": dict(sorted(states.items())),
        "claims": sum(len(story.claims) for story in stories.values()),
        "stale_commits_refused": sum(
            call.type == "fail" for story in stories.values() for call in story.completes
        ),
    }
    involved = wrong[0][1] if wrong else []
    return judged([line for line, _ in wrong], facts, involved, enough=final is not None)


def _stories(made: Sequence[Call]) -> dict[str, _Story]:
    stories: dict[str, _Story] = defaultdict(_Story)
    for call in made:
        match call.invoke.f:
            case "submit" if call.ok:
                stories[call.result["task"]].submits.append(call)
            case "claim" if call.ok:
                for claimed in call.result:
                    stories[claimed["task"]].claims.append((claimed["token"], call))
            case "complete":
                stories[call.invoke.value["task"]].completes.append(call)
            case "fail":
                stories[call.invoke.value["task"]].fails.append(call)
    return dict(stories)


def _submissions(made: Sequence[Call]) -> Iterator[Wrong]:
    first: dict[str, Call] = {}
    for call in made:
        if call.invoke.f == "submit" and call.ok:
            other = first.setdefault(call.invoke.value, call)
            if other.result["task"] != call.result["task"]:
                tasks = f"{other.result['task']} and {call.result['task']}"
                yield f"{call.invoke.value} was accepted twice, as {tasks}", [other, call]


def _tokens_grow(story: _Story) -> Iterator[Wrong]:
    by_token: dict[int, Call] = {}
    for token, claim in story.claims:
        other = by_token.setdefault(token, claim)
        if other is not claim:
            yield f"token {token} was handed out twice", [other, claim]
    for (one, earlier), (two, later) in _in_order(story.claims):
        if two <= one:
            yield f"token {two} was handed out after {one}", [earlier, later]


def _in_order(
    claims: Sequence[tuple[int, Call]],
) -> Iterator[tuple[tuple[int, Call], tuple[int, Call]]]:
    """Pairs of which the first had returned before the second was called."""
    for one in claims:
        for two in claims:
            if (one[1].returned or 0) < two[1].invoked:
                yield one, two


def _one_commit(story: _Story) -> Iterator[Wrong]:
    committed = story.committed
    if len(committed) > 1:
        tokens = [call.invoke.value["token"] for call in committed]
        yield f"committed {len(committed)} times, with tokens {tokens}", committed


def _only_current_commits(story: _Story) -> Iterator[Wrong]:
    for call in story.committed:
        token = call.invoke.value["token"]
        for newer, claim in story.claims:
            if newer > token and (claim.returned or 0) < call.invoked:
                yield f"token {token} committed after {newer} was handed out", [claim, call]
                return


def _nothing_after_commit(story: _Story) -> Iterator[Wrong]:
    for commit in story.committed:
        at = commit.returned or 0
        for token, claim in story.claims:
            if claim.invoked > at:
                yield f"handed out again with token {token} after its commit", [commit, claim]
        for fail in story.fails:
            if fail.ok and fail.invoked > at:
                yield "failed after its commit", [commit, fail]


def _final(final: Call, made: Sequence[Call], stories: dict[str, _Story]) -> Iterator[Wrong]:
    listed: dict[str, Any] = {task["task"]: task for task in final.result}
    asked = {
        call.invoke.value for call in made if call.invoke.f == "submit" and call.type != "fail"
    }
    by_payload: dict[str, str] = {}
    for name, task in listed.items():
        if task["payload"] not in asked:
            yield f"{name}: in the list, but nobody submitted {task['payload']!r}", [final]
        other = by_payload.setdefault(task["payload"], name)
        if other != name:
            yield f"{other} and {name} are both {task['payload']!r}", [final]
    for name, story in stories.items():
        found = listed.get(name)
        if found is None:
            if story.submits or story.committed:
                yield f"{name}: was acknowledged and is lost", story.submits[:1]
            continue
        for submit in story.submits[:1]:
            if found["payload"] != submit.invoke.value:
                yield f"{name}: has the payload {found['payload']!r}", [submit]
        yield from _final_state(name, found, story)


def _final_state(name: str, found: dict[str, Any], story: _Story) -> Iterator[Wrong]:
    for commit in story.committed[:1]:
        if found["state"] != "COMPLETED" or found["result"] != commit.invoke.value["result"]:
            kept = f"{found['state']} with {found['result']!r}"
            yield f"{name}: its commit was acknowledged, but it is {kept}", [commit]
    possible = {c.invoke.value["result"] for c in story.completes if c.type != "fail"}
    if found["state"] == "COMPLETED" and found["result"] not in possible:
        yield f"{name}: has a result nobody committed: {found['result']!r}", story.completes[:2]
    for fail in story.fails:
        if fail.ok and not fail.invoke.value["retryable"] and found["state"] != "DEAD":
            yield f"{name}: was given up for good, but is {found['state']}", [fail]
