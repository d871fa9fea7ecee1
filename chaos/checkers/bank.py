"""A bank loses no money and makes none.

Verified: every read of all balances has every account, none below nothing, and the sum they began
with; after the last transfer, an account that no unknown transfer touches has exactly what the
acknowledged ones make of it. Not verified: the order of transfers, and whether a read is recent
(registers and sets are checked for that).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from chaos.checkers.result import CheckBounds, CheckResult, judged
from chaos.histories.history import Call, HistoryEvent, calls


def check_bank(events: Sequence[HistoryEvent], bounds: CheckBounds) -> CheckResult:
    made = list(calls(events))
    opened = next((call for call in made if call.invoke.f == "open" and call.ok), None)
    reads = [call for call in made if call.invoke.f == "balances" and call.ok]
    moves = [call for call in made if call.invoke.f == "transfer"]
    facts = {"reads": len(reads), "transfers": sum(move.ok for move in moves)}
    if opened is None:
        return judged((), facts, enough=False)
    wrong = [(line, read) for read in reads for line in _wrong_read(opened.result, read)]
    wrong += _wrong_end(opened.result, reads, moves)
    involved = [wrong[0][1]] if wrong else []
    return judged([line for line, _ in wrong], facts, involved, enough=bool(reads))


def _wrong_read(opened: Mapping[str, int], read: Call) -> Iterator[str]:
    where = f"read at event {read.invoke.i}"
    if read.result.keys() != opened.keys():
        yield f"{where} has accounts {sorted(read.result)}"
    if (total := sum(read.result.values())) != sum(opened.values()):
        yield f"{where} sums to {total} instead of {sum(opened.values())}: {read.result}"
    if min(read.result.values(), default=0) < 0:
        yield f"{where} has a balance below nothing: {read.result}"


def _wrong_end(
    opened: Mapping[str, int], reads: Sequence[Call], moves: Sequence[Call]
) -> Iterator[tuple[str, Call]]:
    """Of the reads called after the last transfer had ended."""
    last = max((move.returned or move.invoked for move in moves), default=0)
    expected, unsure = dict(opened), set()
    for move in moves:
        source, target, amount = move.invoke.value
        if move.ok:
            expected[source] -= amount
            expected[target] += amount
        elif move.type == "info":
            unsure |= {source, target}
    for read in reads:
        if read.invoked > last:
            for account in sorted(expected.keys() - unsure):
                if (found := read.result.get(account)) != expected[account]:
                    line = f"account {account} ends with {found} instead of {expected[account]}"
                    yield line, read
