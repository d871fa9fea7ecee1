"""Questions about who imports whom, with answers in one fixed order."""

from __future__ import annotations

Graph = dict[str, set[str]]


def importers(graph: Graph) -> Graph:
    """The graph with every arrow turned round."""
    turned: Graph = {name: set() for name in graph}
    for name, targets in graph.items():
        for target in targets:
            turned[target].add(name)
    return turned


def reachable(graph: Graph, start: str) -> set[str]:
    """Everything that `start` imports, directly or through others, without itself."""
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        for target in graph[waiting.pop()] - seen:
            seen.add(target)
            waiting.append(target)
    return seen - {start}


def cycles(graph: Graph) -> list[list[str]]:
    """Groups of two or more that all reach each other, the largest first."""
    turned = importers(graph)
    groups = []
    left = set(graph)
    for name in sorted(graph):
        if name in left:
            group = {name} | (reachable(graph, name) & reachable(turned, name))
            left -= group
            if len(group) > 1:
                groups.append(sorted(group))
    return sorted(groups, key=lambda group: (-len(group), group))
