"""What one simulated run does, all of it decided beforehand from the seed.

The faults of a run are a list, so that a run can be repeated with fewer of them: each random choice
of the network, of a node or of a client comes from a stream of its own, which the others do not
disturb.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from random import Random

HARDENED = "hardened"
STOCK = "stock"
ENGINES = (HARDENED, STOCK)
LEADER = "leader"  # instead of a node's id: whoever leads when the fault comes
MAX_RATE = 1.05  # of a node's clock; the least is its inverse

DurationRange = tuple[float, float]
_DOWN_S: tuple[DurationRange, ...] = ((0.001, 0.02), (0.05, 1.0), (1.0, 3.0))

KILLS = ("kill", "kill", "kill_leader", "kill_at_write", "kill_at_send", "kill_all")
LINKS = ("cut", "one_way", "isolate", "split", "reset", "reset", "slow")
LOAD = ("flood", "flood")
DISKS = ("slow_disk", "sync_fails", "disk_full", "bit_rot", "new_disk")
TIMES = ("drift", "stall")
MEMBERS = ("add_node", "add_node", "promote", "promote", "promote", "remove_node", "lost_change")
POWER = ("power_cut", "power_cut_all", "power_at_write")
EVERYTHING = (*KILLS, *LINKS, *LOAD, *DISKS, *TIMES, *POWER, "transfer")


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault at a time (seconds). `nodes`: ids or LEADER. `amount`: a factor, a count or a
    probability, as the kind has it; `down_s`: how long until a stopped node starts again."""

    at_s: float
    kind: str
    nodes: tuple[str, ...] = ()
    amount: float = 0.0
    down_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Profile:
    """A family of runs. Numbers in tuples are chosen from."""

    name: str
    kinds: tuple[str, ...]
    batch_bytes: tuple[int, ...] = (200, 600, 4_000)
    snapshot_entries: tuple[int, ...] = (40, 120, 1_000_000)
    keep_entries: tuple[int, ...] = (3, 20)
    late: float = 0.3  # of the messages that a broken connection held, come through it later
    twice: float = 0.01  # of all messages come a second time
    distance: float = 1.0  # how much longer than in one site messages take
    drift: bool = True
    disk_votes: bool = True  # whether term and vote on disk are watched
    max_items: int = 4  # requests in one entry
    clients: int = 5
    think_s: float = 0.25  # the longest pause of a client between two operations
    heal: float = 0.35  # of the faults are healings
    storm_s: float = 8.0
    calm_s: float = 6.0
    spares: int = 0  # nodes that can be added
    large: bool = False  # requests and replies up to every limit
    chunk_bytes: int = 700  # of a snapshot on its way


PROFILES: dict[str, Profile] = {
    profile.name: profile
    for profile in (
        Profile("everything", EVERYTHING),
        Profile("kills", (*KILLS, *LINKS, *LOAD, "transfer"), late=0.0, twice=0.0),
        Profile("links", (*LINKS, *LOAD, "transfer"), (200, 600), (1_000_000,)),
        Profile("snapshots", (*KILLS, *LINKS, *LOAD), (200, 600), (15, 30, 60), (1, 3)),
        Profile("power", (*POWER, *KILLS, *LINKS, *LOAD, *DISKS), (600, 4_000)),
        Profile("clocks", (*TIMES, *LINKS, "kill", "kill_leader", "transfer")),
        Profile("far", (*KILLS, *LINKS, *LOAD, "transfer"), (200, 600, 4_000), distance=30.0,
                calm_s=8.0),
        Profile("bad-syncs", ("sync_fails", "sync_fails", "power_cut", "kill_leader", "isolate"),
                (4_000,), (40, 1_000_000), late=0.0, twice=0.0),
        Profile("bad-starts", ("sync_fails", "sync_fails", "kill_at_write", "kill_at_write",
                "disk_full", "power_cut", "power_at_write"), (4_000,), (40, 1_000_000), late=0.0,
                twice=0.0, heal=0.1, clients=3),
        Profile("full-disks", (*["disk_full"] * 4, "kill_leader", "power_cut", "isolate", "flood"),
                (4_000,), (40, 1_000_000)),
        Profile("new-disks", ("new_disk", "new_disk", "kill", "isolate", "one_way", "kill_leader",
                "power_cut", "reset", "flood", "transfer"), snapshot_entries=(15, 40, 1_000_000)),
        Profile("busy", EVERYTHING, (600,), clients=12, think_s=0.05),
        Profile("members", (*MEMBERS, *MEMBERS, *KILLS, *LINKS, *LOAD, "power_cut", "transfer",
                "new_disk", "stall"), (200, 600, 4_000), (15, 60, 1_000_000), calm_s=8.0, spares=2),
        Profile("changes", (*MEMBERS, "lost_change", "kill_leader", "cut", "reset"), (600,),
                (1_000_000,), drift=False, clients=3, spares=2),
        Profile("sizes", EVERYTHING, (20_000, 300_000), late=0.1, calm_s=8.0, large=True,
                chunk_bytes=64 * 1024),
        # For single defects of the published engine: the fewest faults that bring each about.
        Profile("only-links", ("isolate", "kill_leader", "cut", "slow", "reset", "reset"), (300,),
                (1_000_000,), late=0.0, twice=0.0, drift=False, max_items=1, clients=10,
                think_s=0.01, distance=40.0),
        Profile("only-dumps", ("kill", "kill", "kill_at_write", "kill_at_write", "isolate"),
                (4_000,), (4, 8), late=0.0, twice=0.0, drift=False, clients=8, think_s=0.05),
        Profile("only-torn", ("power_cut", "power_cut_all", "isolate", "flood"), (4_000,),
                (8, 15), late=0.0, twice=0.0, drift=False, disk_votes=False),
        Profile("only-transfers", ("isolate", "cut", "kill", "flood", "reset"), (600,), (15, 30),
                late=0.0, twice=0.0, drift=False),
        Profile("only-votes", ("power_cut", "power_cut_all", "kill"), (4_000,), (1_000_000,),
                late=0.0, twice=0.0, drift=False),
        Profile("only-power", ("power_cut", "power_cut_all", "kill"), (4_000,), (1_000_000,),
                late=0.0, twice=0.0, drift=False, disk_votes=False),
        Profile("only-delays", ("isolate", "kill_leader", "kill", "split"), (4_000,),
                (1_000_000,), late=0.5, twice=0.3, drift=False),
    )
}  # fmt: skip
MEMBERS_SHARE = 0.15  # of the seeds
SIZES_SHARE = 0.04
PIPELINES = (3, 40)
MAX_WAITING = (40, 1_000)
MAX_PENDING = (4, 4_096)
LEVELS = (0, 1, 2, 2)  # of the cluster, whose first leader raises it
MIXED = (
    "everything",
    "everything",
    "everything",
    "kills",
    "kills",
    "links",
    "snapshots",
    "snapshots",
    "power",
    "power",
    "clocks",
    "far",
    "bad-syncs",
    "new-disks",
    "busy",
)


@dataclass(frozen=True, slots=True)
class SimPlan:
    """One run. Times in simulated seconds, sizes in bytes."""

    seed: int
    engine: str
    nodes: int
    profile: str
    batch_bytes: int
    snapshot_entries: int
    keep_entries: int
    late: float
    twice: float
    distance: float
    drift: bool
    disk_votes: bool
    max_items: int
    power: bool  # nodes lose power, not only their processes
    storm_s: float
    calm_s: float
    clients: int
    think_s: float
    spares: int = 0
    large: bool = False
    chunk_bytes: int = 700
    level: int = 0
    pipeline: int = 40  # entries in flight
    max_waiting: int = 1_000  # requests that wait for their entry
    max_pending: int = 4_096  # entries that a leader takes before it is busy
    faults: tuple[Fault, ...] = ()
    kept: tuple[int, ...] | None = None  # of the seed's faults only these, by number

    @property
    def node_ids(self) -> tuple[str, ...]:
        return tuple(f"n{number + 1}" for number in range(self.nodes))

    @property
    def all_ids(self) -> tuple[str, ...]:
        """Also of nodes that are not members at first."""
        return tuple(f"n{number + 1}" for number in range(self.nodes + self.spares))

    def keeping(self, numbers: tuple[int, ...]) -> SimPlan:
        """The same run with only these of its faults, by their number in the seed's list."""
        known = self.kept if self.kept is not None else tuple(range(len(self.faults)))
        chosen = [known.index(number) for number in numbers]
        return replace(self, faults=tuple(self.faults[i] for i in chosen), kept=numbers)

    def replay(self) -> str:
        """The command line that runs exactly this again."""
        words = [f"chaos sim --seeds {self.seed}:{self.seed + 1} --nodes {self.nodes}"]
        words.append(f"--engine {self.engine} --profile {self.profile}")
        if self.engine == HARDENED:
            words.append(f"--level {self.level}")
        if self.kept is not None:
            words.append(f"--keep {','.join(map(str, self.kept)) or 'none'}")
        return " ".join(words)


def make_plan(
    seed: int,
    *,
    nodes: int = 3,
    engine: str = HARDENED,
    profile: str | None = None,
    level: int | None = None,
) -> SimPlan:
    """The run of a seed. Without a profile, or a feature level, the seed chooses one."""
    rng = Random(f"plan/{seed}/{nodes}")
    mixed = rng.choice(MIXED)
    if engine == HARDENED and Random(f"sizes/{seed}/{nodes}").random() < SIZES_SHARE:
        mixed = "sizes"
    if engine == HARDENED and Random(f"members/{seed}/{nodes}").random() < MEMBERS_SHARE:
        mixed = "members"
    if level is None:
        level = Random(f"level/{seed}/{nodes}").choice(LEVELS) if engine == HARDENED else 0
    chosen = PROFILES[profile or mixed]
    plan = SimPlan(
        seed=seed,
        engine=engine,
        nodes=nodes,
        profile=chosen.name,
        batch_bytes=rng.choice(chosen.batch_bytes),
        snapshot_entries=rng.choice(chosen.snapshot_entries),
        keep_entries=rng.choice(chosen.keep_entries),
        late=chosen.late,
        twice=chosen.twice,
        distance=chosen.distance,
        drift=chosen.drift,
        disk_votes=chosen.disk_votes,
        clients=chosen.clients,
        think_s=chosen.think_s,
        max_items=chosen.max_items,
        power=any(kind in POWER for kind in chosen.kinds),
        storm_s=chosen.storm_s,
        calm_s=chosen.calm_s,
        spares=chosen.spares,
        large=chosen.large,
        chunk_bytes=chosen.chunk_bytes,
        level=level,
    )
    if engine == HARDENED:
        plan = _with_bounds(plan)
    return replace(plan, faults=tuple(_FaultWriter(rng, chosen, plan).write()))


def _with_bounds(plan: SimPlan) -> SimPlan:
    """Where the proposer says that it is busy, or is told so."""
    rng = Random(f"bounds/{plan.seed}/{plan.nodes}")
    return replace(
        plan,
        pipeline=rng.choice(PIPELINES),
        max_waiting=rng.choice(MAX_WAITING),
        max_pending=rng.choice(MAX_PENDING),
    )


@dataclass(slots=True)
class _FaultWriter:
    """Half of the faults come hard on the heels of the one before."""

    rng: Random
    profile: Profile
    plan: SimPlan
    now_s: float = 0.3
    faults: list[Fault] = field(default_factory=list)

    def write(self) -> list[Fault]:
        rng = self.rng
        while True:
            self.now_s += rng.choice((rng.uniform(0.001, 0.06), rng.uniform(0.05, 1.2)))
            if self.now_s >= self.plan.storm_s:
                return self.faults
            kind = rng.choice(self.profile.kinds)
            if rng.random() < self.profile.heal:
                kind = "heal"
            self.faults.append(self._fault(kind))

    def _fault(self, kind: str) -> Fault:
        down_s = self.rng.uniform(*self.rng.choice(_DOWN_S))
        return Fault(self.now_s, kind, self._nodes(kind), self._amount(kind), down_s)

    def _nodes(self, kind: str) -> tuple[str, ...]:
        rng, ids = self.rng, self.plan.all_ids
        first, second = rng.sample(ids, 2)
        match kind:
            case "heal" | "flood":
                return ()
            case "cut" | "one_way" | "reset" | "slow":
                return (first, second)
            case "split":
                return tuple(node for node in ids if rng.random() < 0.5)
            case "kill_leader":
                return (LEADER, first) if rng.random() < 0.5 else (LEADER,)
            case "kill_all" | "power_cut_all":
                return tuple(node for node in ids if rng.random() < 0.85)
            case _:
                return (rng.choice((first, first, LEADER)),)

    def _amount(self, kind: str) -> float:
        rng = self.rng
        match kind:
            case "slow":
                return rng.uniform(5, 60)
            case "kill_at_write" | "kill_at_send" | "power_at_write":
                return rng.randint(0, 12)
            case "flood":
                return rng.randint(10, 60)
            case "slow_disk":
                return rng.choice((0.001, 0.01, 0.05, 0.3))
            case "disk_full":
                return rng.choice((0.3, 1.0, 2.0))
            case "bit_rot":
                return rng.random()
            case "drift":
                return rng.uniform(1 / MAX_RATE, MAX_RATE)
            case "stall":
                return rng.choice((0.1, 0.5, 2.0))
            case _:
                return 0.0
