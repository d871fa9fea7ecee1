"""An agent that books orders: a side effect that must happen once, however often it is tried.

agentnode run orders.py --queues orders
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from agentnode import Registry, TaskContext

registry = Registry()


@registry.task("orders")
def book(order: str, ctx: TaskContext) -> str:
    """Takes a moment, then books the order in a file beside it, once."""
    time.sleep(float(os.environ.get("ORDERS_PAUSE_S", "0.05")))
    return ctx.once("book", lambda: _book(order))


def _book(order: str) -> str:
    with Path(os.environ["ORDERS_FILE"]).open("a", encoding="utf-8") as book_of_orders:
        book_of_orders.write(f"{order}\n")
    return order
