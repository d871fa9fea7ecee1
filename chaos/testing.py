"""pytest fixtures: a real local cluster whose faults a test decides on.

In a conftest.py: `pytest_plugins = ["chaos.testing"]`. Then

    def test_my_agent_survives_a_dead_leader(chaos_cluster):
        with chaos_cluster.fault("kill:leader"):
            ...

`@pytest.mark.chaos_cluster(nodes=5, seed=7)` sets what `TestCluster` takes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from chaos.run.testbed import TestCluster

__all__ = ["TestCluster", "chaos_cluster"]

MARKER = "chaos_cluster(nodes, seed, settings): the cluster that the test is given"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", MARKER)


@pytest.fixture
def chaos_cluster(request: pytest.FixtureRequest) -> Iterator[TestCluster]:
    """A running cluster of this test's own."""
    marker = request.node.get_closest_marker("chaos_cluster")
    with TestCluster(**(marker.kwargs if marker else {})) as cluster:
        yield cluster
