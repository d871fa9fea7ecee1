"""The stages of a task are measured by the real code; here only that they are, and which."""

from __future__ import annotations

from bench.task_stages import Stages


def test_every_stage_takes_time() -> None:
    stages = Stages(batch=2)
    stages.cycle()
    assert set(stages.spent_s) == {
        "client",
        "leader: parse",
        "leader: check",
        "leader: envelope",
        "leader: apply",
        "leader: answers",
        "follower: parse",
        "follower: apply",
    }
    assert all(seconds > 0 for seconds in stages.spent_s.values())
