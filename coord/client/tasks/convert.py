"""Task messages to and from what users see."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from operator import attrgetter
from typing import Protocol, TypeVar

from google.protobuf.message import Message

from coord.client.transport.errors import from_reason
from coord.client.types import ItemResult, LostTask, Task, TaskSpec, TaskState
from coord.pb import task_pb2 as pb
from coord.pb import work_pb2

ITEM_OVERHEAD_BYTES = 8
MAX_GROUP_ITEMS = 1_000
MAX_GROUP_BYTES = 4 * 1024 * 1024  # a node takes twice that by default

Msg = TypeVar("Msg", bound=Message)

# The options of a task, by how they travel.
_PLAIN = tuple(one.name for one in fields(TaskSpec) if one.name != "labels")
_NUMBERS = tuple(one.name for one in fields(TaskSpec) if one.type == "int")
_DEFAULTS = (0,) * len(_NUMBERS)
_plain_of = attrgetter(*_PLAIN)
_numbers_of = attrgetter(*_NUMBERS)

# Looking a number up here takes a quarter of the time of asking the enumeration.
_STATES: dict[int, TaskState] = {int(state): state for state in TaskState}


class HasResults(Protocol):
    """A reply with one result per item."""

    @property
    def results(self) -> Iterable[pb.ItemResult]: ...


def groups(messages: Sequence[Msg]) -> Iterator[tuple[Sequence[Msg], int]]:
    """In order, cut so that each fits in one request, of which it takes so many bytes."""
    start, size = 0, 0
    for end, message in enumerate(messages):
        added = size_of(message)
        if end > start and (end - start == MAX_GROUP_ITEMS or size + added > MAX_GROUP_BYTES):
            yield messages[start:end], size
            start, size = end, 0
        size += added
    if start < len(messages):
        yield messages[start:] if start else messages, size


def size_of(message: Message) -> int:
    """Bytes that it takes in a request."""
    return message.ByteSize() + ITEM_OVERHEAD_BYTES


def spec_message(spec: TaskSpec) -> pb.TaskSpec:
    message = pb.TaskSpec(
        queue=spec.queue,
        payload=spec.payload,
        type=spec.type,
        idempotency_key=spec.idempotency_key,
    )
    # Most tasks leave the rest at the defaults, and every field that is passed on takes its time.
    numbers = _numbers_of(spec)
    if numbers != _DEFAULTS:
        for name, number in zip(_NUMBERS, numbers, strict=True):
            if number:
                setattr(message, name, number)
    if spec.labels:
        message.labels.update(spec.labels)
    return message


def spec_from(message: pb.TaskSpec) -> TaskSpec:
    known = dict(zip(_PLAIN, _plain_of(message), strict=True))
    return TaskSpec(**known, labels=dict(message.labels))


def task_from(info: pb.TaskInfo) -> Task:
    return Task(
        task_id=info.task_id,
        spec=spec_from(info.spec),
        state=TaskState(info.state),
        attempt=info.attempt,
        create_revision=info.create_revision,
        mod_revision=info.mod_revision,
        fencing_token=info.fencing_token,
        session_id=info.session_id,
        worker=info.worker,
        lease_remaining_ms=info.lease_remaining_ms,
        checkpoint=info.checkpoint,
        progress_permille=info.progress_permille,
        result=info.result,
        last_error=info.last_error,
        ready_in_ms=info.ready_in_ms,
        submitted_unix_ms=info.submitted_unix_ms,
        finished_unix_ms=info.finished_unix_ms,
        lost_leases=info.lost_leases,
        payload_dropped=info.payload_dropped,
    )


def lost_task(message: work_pb2.LeaseLost) -> LostTask:
    return LostTask(
        message.task_id, message.fencing_token, TaskState(message.state), message.reason
    )


def item_results(reply: HasResults) -> list[ItemResult]:
    return [_item_result(result) for result in reply.results]


def checked(result: ItemResult) -> ItemResult:
    """The result of a single item; raises its error."""
    if result.error is not None:
        raise result.error
    return result


def _item_result(result: pb.ItemResult) -> ItemResult:
    error = None
    if result.HasField("error"):
        given = result.error
        error = from_reason(given.reason, given.message, dict(given.metadata))
    number = result.state
    return ItemResult(error, _STATES.get(number) or TaskState(number), result.revision)
