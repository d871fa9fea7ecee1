"""The no-op task for Celery: late acknowledgement, so that a lost worker loses no task."""

from __future__ import annotations

import importlib
import os
from typing import Any


def make_app(url: str) -> Any:
    celery = importlib.import_module("celery")
    app = celery.Celery("bench", broker=url, backend=url)
    app.conf.update(
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_serializer="json",
        result_serializer="json",
        accept_content=["json"],
        worker_send_task_events=False,
        task_send_sent_event=False,
        broker_pool_limit=10,
        # What its guide to optimizing says of many short tasks.
        worker_prefetch_multiplier=64,
    )

    def noop(data: str) -> str:
        return data

    app.task(name="noop")(noop)
    app.finalize()
    return app


if url_of_worker := os.environ.get("BENCH_CELERY_URL"):
    app = make_app(url_of_worker)
