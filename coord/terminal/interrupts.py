"""SIGINT for processes that a shell started in the background.

A shell without job control starts background jobs with SIGINT ignored, and a process keeps that
unless it sets a handler. It could not be stopped in order then, nor could its children."""

from __future__ import annotations

import signal


def take_interrupts() -> None:
    """Let SIGINT raise KeyboardInterrupt here, and end the children of this process."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
