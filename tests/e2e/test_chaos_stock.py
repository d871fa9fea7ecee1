"""Stock PySyncObj in real processes: with its leader cut off it answers stale reads, which the
checker sees; without a fault it sees nothing."""

from __future__ import annotations

import asyncio

import pytest

from chaos.stock.trial import try_stock
from tests.support.chaos_clusters import node_processes

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]


async def test_stale_reads_of_a_leader_that_was_cut_off_are_seen() -> None:
    hurt, well = await asyncio.gather(try_stock(1), try_stock(2, cut=False, hold_s=2.0))
    assert hurt.valid is False
    assert "no order agrees with real time" in hurt.anomalies[0]
    assert (well.valid, well.facts["keys"] > 0) == (True, True), well.anomalies
    assert not node_processes("chaos-stock-")
