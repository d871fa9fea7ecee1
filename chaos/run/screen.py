"""What a run looks like on the terminal, while it runs and when it is over."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from chaos.histories.verdicts import STYLES, VERDICT_STYLE, word
from chaos.run.judge import Judgement, count
from chaos.run.runner import Run, RunOptions, RunRecord
from coord.terminal.layout import Printer

ROLE_STYLE = {"leader": "bold green", "follower": "green", "down": "red", "paused": "yellow"}
EVERY_LINES_S = 5.0


@contextlib.contextmanager
def progress(console: Console, options: RunOptions) -> Iterator[Callable[[Run], None]]:
    """A live view on a terminal; elsewhere a line now and then."""
    console.print(
        f"chaos run: {options.nodes} nodes, {', '.join(options.workloads)} under "
        f"{options.nemesis}, {options.duration_s:g} s, seed {options.seed}",
        highlight=False,
        soft_wrap=True,
    )
    if not console.is_terminal:
        yield _lines(console)
        return
    with Live(console=console, refresh_per_second=4, transient=True) as live:
        yield lambda run: live.update(_view(run))


def _lines(console: Console) -> Callable[[Run], None]:
    printed_s = -EVERY_LINES_S

    def show(run: Run) -> None:
        nonlocal printed_s
        now_s = run.recorder.now_ns() / 1e9
        if run.load_ns[0] and (now_s - printed_s >= EVERY_LINES_S or now_s < printed_s):
            printed_s = now_s
            line = f"{now_s:6.1f} s  {run.phase}  {_counts(run)}  {_fault(run)}"
            console.print(line.rstrip(), soft_wrap=True)

    return show


def _counts(run: Run) -> str:
    done = count(run.recorder.events)
    return f"{done['ok']} ok, {done['fail']} failed, {done['info']} open or unknown"


def _fault(run: Run) -> str:
    fault = run.driver.current if run.driver else None
    return f"{fault.name}: {fault.words}" if fault else ""


def _view(run: Run) -> RenderableType:
    now_ns = run.recorder.now_ns()
    head = Text(f"{now_ns / 1e9:6.1f} s of {run.options.duration_s:g} s  ", style="bold")
    head.append(run.phase, style="cyan")
    roles = Text("nodes     ")
    for node_id, role in (run.roles[-1][1] if run.roles else {}).items():
        roles.append(f"{node_id} {role}   ", style=ROLE_STYLE.get(role, "yellow"))
    faults = run.driver.faults if run.driver else []
    fault = Text(f"fault     {len(faults)} so far   ")
    fault.append(_fault(run), style="bold red")
    gap = ""
    if run.load_ns[0]:
        gap_ms = run.probe.longest_gap_ms(run.load_ns[0], now_ns)
        gap = f"probe     {len(run.probe.success_ns)} writes, longest gap {gap_ms:.0f} ms"
    return Group(head, roles, fault, Text(gap), Text(f"calls     {_counts(run)}"))


def show_summary(console: Console, record: RunRecord, judgement: Judgement, replay: str) -> None:
    """One screen: verdicts, figures, and what is wrong if something is."""
    printer = Printer(STYLES)
    printer.table(
        ("workload", "verdict", "calls", "ok", "failed", "unknown"),
        [
            (
                name,
                word(result.valid),
                *(judgement.counts[name][kind] for kind in ("ops", "ok", "fail", "info")),
            )
            for name, result in judgement.workloads.items()
        ],
    )
    printer.table(
        ("promise", "verdict"),
        [(name, word(result.valid)) for name, result in judgement.promises.items()],
    )
    for name, result in (*judgement.workloads.items(), *judgement.promises.items()):
        for anomaly in result.anomalies[:5]:
            console.print(f"  {name}: {anomaly}", style="red", highlight=False, markup=False)
    found = judgement.availability
    hit = sum(effect.unavailable_ms > 0 for effect in judgement.effects)
    console.print(
        f"faults: {len(judgement.effects)}, {hit} of them kept writes out; writes in "
        f"{found.share:.1%} of {found.windows:,} windows of 100 ms; without one at most "
        f"{found.longest_ms} ms, 99.9 % of the times at most {found.quantile_ms(0.999):.0f} ms",
        highlight=False,
        soft_wrap=True,
    )
    console.print(f"report: {record.options.out / 'report.html'}", highlight=False, soft_wrap=True)
    console.print(f"replay: {replay}", highlight=False, soft_wrap=True)
    console.print("verdict:", Text(word(judgement.valid), style=VERDICT_STYLE[judgement.valid]))
