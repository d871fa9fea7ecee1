"""Cycles in a graph of dependencies: Tarjan's strongly connected components, without recursion, and
a shortest cycle in each."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Edge:
    """`target` comes after `source`, because of `kind`; `about` says of what."""

    source: int
    target: int
    kind: str
    about: str


class Graph:
    """Edges by their source. Of several between two nodes the first is kept; none to itself."""

    def __init__(self) -> None:
        self.edges: dict[int, dict[int, Edge]] = defaultdict(dict)

    def add(self, edge: Edge) -> None:
        if edge.source != edge.target:
            self.edges[edge.source].setdefault(edge.target, edge)

    def after(self, node: int) -> dict[int, Edge]:
        return self.edges.get(node, {})


def components(graph: Graph) -> Iterator[set[int]]:
    """The strongly connected components of more than one node."""
    number: dict[int, int] = {}
    lowest: dict[int, int] = {}
    stack: list[int] = []
    on_stack: set[int] = set()
    for root in list(graph.edges):
        if root in number:
            continue
        work = [(root, iter(graph.after(root)))]
        while work:
            node, targets = work[-1]
            if node not in number:
                number[node] = lowest[node] = len(number)
                stack.append(node)
                on_stack.add(node)
            for target in targets:
                if target not in number:
                    work.append((target, iter(graph.after(target))))
                    break
                if target in on_stack:
                    lowest[node] = min(lowest[node], number[target])
            else:
                work.pop()
                if work:
                    above = work[-1][0]
                    lowest[above] = min(lowest[above], lowest[node])
                if lowest[node] == number[node]:
                    found = set(_popped(stack, node))
                    on_stack -= found
                    if len(found) > 1:
                        yield found


def _popped(stack: list[int], until: int) -> Iterator[int]:
    while True:
        node = stack.pop()
        yield node
        if node == until:
            return


def shortest_cycles(graph: Graph) -> Iterator[list[Edge]]:
    """One of each component; of those through its smallest node, a shortest."""
    for component in components(graph):
        yield _cycle_through(graph, min(component), component)


def _cycle_through(graph: Graph, start: int, component: set[int]) -> list[Edge]:
    came: dict[int, Edge] = {}
    waiting = deque([start])
    while start not in came:
        node = waiting.popleft()
        for target, edge in graph.after(node).items():
            if target in component and target not in came:
                came[target] = edge
                waiting.append(target)
    cycle = [came[start]]
    while cycle[-1].source != start:
        cycle.append(came[cycle[-1].source])
    return cycle[::-1]
