"""Tasks and their queues."""

from __future__ import annotations

from typing import Final

from coord.core.base.holdings import TASK
from coord.core.base.timers import TimerKind
from coord.core.domain import Chore, Domain, Holding
from coord.core.tasks.attempts import complete, fail, heartbeat, lose_held, release
from coord.core.tasks.bounds import BOUNDS
from coord.core.tasks.checks import check
from coord.core.tasks.commands import (
    CancelTask,
    ClaimTasks,
    CompleteTasks,
    DeleteQueue,
    FailTasks,
    HeartbeatTasks,
    PauseQueue,
    RedriveQueue,
    ReleaseTasks,
    RetryTask,
    SetQueue,
    SubmitTasks,
)
from coord.core.tasks.digests import DIGESTS
from coord.core.tasks.expiry import expire_task, settle_held, settle_known, settle_named
from coord.core.tasks.handlers import (
    cancel_task,
    claim_tasks,
    pause_queue,
    redrive_queue,
    retry_task,
    submit,
)
from coord.core.tasks.queues import delete_queue, set_queue
from coord.core.tasks.redriving import go_on_with_redrives, is_redriving
from coord.core.tasks.retention import forget_due
from coord.core.tasks.sentences import EARLIER, SENTENCES
from coord.core.tasks.tables import make_tables
from coord.core.tasks.transitions import rebuild

TASKS: Final = Domain(
    "tasks",
    tables=make_tables,
    handlers={
        SubmitTasks: submit,
        HeartbeatTasks: heartbeat,
        CompleteTasks: complete,
        FailTasks: fail,
        ReleaseTasks: release,
        CancelTask: cancel_task,
        RetryTask: retry_task,
        RedriveQueue: redrive_queue,
        PauseQueue: pause_queue,
        SetQueue: set_queue,
        DeleteQueue: delete_queue,
    },
    session_handlers={ClaimTasks: claim_tasks},
    bounds=BOUNDS,
    digests=DIGESTS,
    settle={
        SubmitTasks: settle_known,
        HeartbeatTasks: settle_held,
        CompleteTasks: settle_held,
        FailTasks: settle_held,
        ReleaseTasks: settle_held,
        CancelTask: settle_named,
        RetryTask: settle_named,
    },
    rebuild=rebuild,
    sentences=SENTENCES,
    earlier=EARLIER,
    check=check,
    due={TimerKind.TASK: expire_task},
    holdings={TASK: Holding(lose_held, by_key=False)},
    chore=Chore(2, is_redriving, go_on_with_redrives),
    forget=forget_due,
)
