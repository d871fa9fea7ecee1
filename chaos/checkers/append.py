"""Transactions that append to lists and read them are strictly serializable.

Theory (Elle, Kingsbury and Alvaro, 2020). Values are appended once, so the longest read of a list
shows the order in which its values were written. From that order follow the dependencies between
transactions: who wrote after whom (ww), who read from whom (wr), who read before whose write (rw);
and real time gives one more: who was called after whose end (rt). A cycle fits no serial order.

Verified: all reads of a list are prefixes of the longest; no value is there twice; nothing is read
that nobody appended, that certainly failed, or that its own transaction had not finished with;
transactions see their own appends; no cycle of dependencies. Not verified: the order of values that
no later read shows."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from chaos.checkers.cycles import Edge, Graph, shortest_cycles
from chaos.checkers.result import CheckBounds, CheckResult, judged, shorten
from chaos.histories.history import Call, HistoryEvent, calls

Wrong = tuple[str, list[Call]]


@dataclass(slots=True)
class _List:
    """One list: who appended what, who read what, and the longest read."""

    appends: dict[int, int] = field(default_factory=dict)  # value: transaction
    reads: list[tuple[int, list[int]]] = field(default_factory=list)
    longest: list[int] = field(default_factory=list)
    passing: set[int] = field(default_factory=set)  # values their transaction appended more to


def check_append(events: Sequence[HistoryEvent], bounds: CheckBounds) -> CheckResult:
    made = [call for call in calls(events) if call.invoke.f == "txn"]
    lists = _by_list(made)
    wrong = [
        (f"list {name}: {line}", [made[n] for n in shown])
        for name, one in lists.items()
        for line, shown in _wrong_reads(one, made)
    ]
    wrong += [(line, [call]) for call in made if call.ok for line in _wrong_inside(call)]
    if not wrong:
        wrong = list(_cycles(made, lists))
    facts = {
        "transactions": sum(call.ok for call in made),
        "lists": len(lists),
        "appends_seen": sum(len(one.longest) for one in lists.values()),
    }
    involved = wrong[0][1] if wrong else []
    return judged([line for line, _ in wrong], facts, involved, enough=facts["transactions"] > 0)


def _by_list(made: Sequence[Call]) -> dict[str, _List]:
    lists: dict[str, _List] = defaultdict(_List)
    for number, call in enumerate(made):
        appended: dict[str, int] = {}
        for f, name, value in call.invoke.value:
            if f == "append":
                lists[name].appends[value] = number
                if name in appended:
                    lists[name].passing.add(appended[name])
                appended[name] = value
        own: set[str] = set()
        for f, name, value in call.result if call.ok else ():
            if f == "append":
                own.add(name)
            elif name not in own:  # what it read of its own is checked apart
                lists[name].reads.append((number, value))
                if len(value) > len(lists[name].longest):
                    lists[name].longest = value
    return lists


def _wrong_reads(one: _List, made: Sequence[Call]) -> Iterator[tuple[str, list[int]]]:
    for reader, read in one.reads:
        if read != one.longest[: len(read)]:
            other = next(n for n, found in one.reads if found is one.longest)
            line = (
                f"{shorten(read)} and {shorten(one.longest)} were read, neither grew to the other"
            )
            yield line, [reader, other]
        if len(set(read)) < len(read):
            yield f"a value is there twice: {shorten(read)}", [reader]
        for value in read:
            writer = one.appends.get(value)
            if writer is None:
                yield f"{value} was read, but never appended", [reader]
            elif made[writer].type == "fail":
                yield f"{value} was read, but its transaction failed", [reader, writer]
        if read and read[-1] in one.passing:
            yield f"{read[-1]} was read before its transaction was over", [reader]


def _wrong_inside(call: Call) -> Iterator[str]:
    """Reads of a list that the transaction itself had read or appended to before."""
    expected: dict[str, list[int]] = {}
    unread: dict[str, list[int]] = defaultdict(list)
    for f, name, value in call.result:
        if f == "append":
            (expected[name] if name in expected else unread[name]).append(value)
            continue
        if name in expected and value != expected[name]:
            yield f"a transaction read {shorten(value)} of its own {shorten(expected[name])}"
        if (own := unread.pop(name, [])) and value[-len(own) :] != own:
            yield f"a transaction read {shorten(value)} after it had appended {own}"
        expected[name] = list(value)


def _cycles(made: Sequence[Call], lists: Mapping[str, _List]) -> Iterator[Wrong]:
    graph = Graph()
    for name, one in lists.items():
        _depend(graph, name, one, made)
    _real_time(graph, made)
    for cycle in shortest_cycles(graph):
        steps = " ".join(f"T{made[e.source].invoke.i} -{e.kind}{e.about}->" for e in cycle)
        line = f"{_anomaly(cycle)}: {steps} T{made[cycle[0].source].invoke.i}"
        yield line, [made[edge.source] for edge in cycle]


def _depend(graph: Graph, name: str, one: _List, made: Sequence[Call]) -> None:
    writers = [one.appends[value] for value in one.longest]
    about = f" {name}"
    for before, after in itertools.pairwise(writers):
        graph.add(Edge(before, after, "ww", about))
    seen = set(one.longest)
    unseen = [n for value, n in one.appends.items() if value not in seen and made[n].ok]
    for reader, read in one.reads:
        if read:
            graph.add(Edge(writers[len(read) - 1], reader, "wr", about))
        if len(read) < len(writers):
            graph.add(Edge(reader, writers[len(read)], "rw", about))
        else:
            for writer in unseen:
                graph.add(Edge(reader, writer, "rw", about))


def _real_time(graph: Graph, made: Sequence[Call]) -> None:
    """Who was called after whose end; only what does not follow from other such pairs."""
    moments = [(call.invoked, False, n) for n, call in enumerate(made) if call.type != "fail"]
    moments += [
        (c.returned, True, n) for n, c in enumerate(made) if c.ok and c.returned is not None
    ]
    latest: set[int] = set()
    before: dict[int, set[int]] = {}
    for _, ended, number in sorted(moments):
        if ended:
            latest = (latest - before[number]) | {number}
        else:
            before[number] = set(latest)
            for earlier in latest:
                graph.add(Edge(earlier, number, "rt", ""))


def _anomaly(cycle: Sequence[Edge]) -> str:
    """The name of such a cycle, after Adya."""
    kinds = [edge.kind for edge in cycle]
    reads_before = kinds.count("rw")
    if reads_before:
        name = "read skew (G-single)" if reads_before == 1 else "anti-dependency cycle (G2)"
    else:
        name = "circular information flow (G1c)" if "wr" in kinds else "write cycle (G0)"
    return f"{name} in real time" if "rt" in kinds else name
