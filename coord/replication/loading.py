"""Loading a snapshot into the state machine, beside its present state where the machine can."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from coord.journal import SnapshotMeta, SnapshotStore
from coord.replication.errors import SnapshotUnusableError
from coord.replication.port import LoadsAside, StateMachine


def load(machine: StateMachine, store: SnapshotStore, meta: SnapshotMeta) -> Callable[[], None]:
    """Build the snapshot's state, in any thread; what is returned puts it in place, on the event
    loop. For a machine that cannot load aside, that is when all of it happens.

    Both raise SnapshotUnusableError: the node must stop."""
    if not isinstance(machine, LoadsAside):
        return lambda: _load_in_place(machine, store, meta)
    try:
        return machine.load(store.read_chunks(meta))
    except Exception as error:
        raise _unusable(meta, error) from error


def _load_in_place(machine: StateMachine, store: SnapshotStore, meta: SnapshotMeta) -> None:
    try:
        machine.restore(store.read_chunks(meta))
    except Exception as error:
        raise _unusable(meta, error) from error


def _unusable(meta: SnapshotMeta, error: Exception) -> SnapshotUnusableError:
    return SnapshotUnusableError(f"the snapshot at entry {meta.index} can not be loaded: {error}")


def restore(machine: StateMachine, store: SnapshotStore, meta: SnapshotMeta) -> None:
    """Load a snapshot into the state machine. Raises SnapshotUnusableError: the node must stop."""
    load(machine, store, meta)()


async def load_in_thread(machine: StateMachine, store: SnapshotStore, meta: SnapshotMeta) -> None:
    """Load a snapshot beside the event loop: a large state takes seconds, in which the loop answers
    signals."""
    loading = asyncio.get_running_loop().run_in_executor(None, load, machine, store, meta)
    try:
        put_in_place = await asyncio.shield(loading)
    except asyncio.CancelledError:
        await asyncio.wait([loading])
        raise
    put_in_place()
