"""What each workload and each promise is about, in a sentence, and what none can ask for."""

from __future__ import annotations

from typing import Final

from chaos.run.settle import WRITE_WITHIN_S

WORKLOADS: Final = {
    "register": "Each key behaves as one register that all clients share, in real time.",
    "cas-register": "The same with compare-and-set: each one succeeds exactly when it should.",
    "set": "An element whose add was acknowledged is in every later read.",
    "append": "Transactions on lists happen one after the other, in an order that time allows.",
    "bank": "Transfers between accounts neither lose money nor make any.",
    "locks": "Fencing tokens grow with each grant, and an old one is refused.",
    "leases": "Nobody gets a lock before the lease of its holder is over.",
    "tasks": "No acknowledged task is lost, and none is committed twice or under an old token.",
    "agents": "The same with real agent processes, which are killed and stopped as well.",
}
PROMISES: Final = {
    "write after heal": f"Within {WRITE_WITHIN_S:.0f} s of the end of the last fault, a write "
    "succeeds.",
    "equal states": "In the end, all nodes have the same state at the same index of the log.",
    "no call hung": "Every call ends by its deadline, with an answer or with an error.",
    "no node ended": "No node's process ends but by a fault that ends it.",
    "a spared majority goes on": "While a fault leaves a majority alone, writes are kept out for "
    "a bounded time only.",
    "faulty disks are noticed": "A node whose disk failed or was damaged stops and says why.",
    "available": "Writes succeed in the share of the time that was asked for.",
}
NO_MAJORITY: Final = (
    "A fault that takes or cuts off a majority keeps writes out in every store that does not lose "
    "them: what counts is that they come back once it is undone. So the share is given apart for "
    "the time in which a majority was left alone, recovery from earlier faults included."
)
