"""The report of a run as one self-contained HTML file: nothing is fetched from anywhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from chaos.checkers.result import CheckResult
from chaos.histories.history import Call, calls
from chaos.histories.verdicts import word
from chaos.report import plots
from chaos.report.pieces import (
    badge,
    figure_row,
    milliseconds,
    page,
    plot,
    section,
    table,
    words,
)
from chaos.report.promises import NO_MAJORITY, PROMISES, WORKLOADS
from chaos.run.judge import Judgement
from chaos.run.runner import RunRecord

LOG_LINES = 14
QUANTILES = (0.5, 0.9, 0.99)


def write_report(path: Path, record: RunRecord, judgement: Judgement, replay: str) -> None:
    """Write the report to `path`."""
    made = list(calls(record.events))
    sections = [
        _head(record, judgement, replay),
        _anomalies(judgement),
        _verdicts(judgement),
        section("Timeline", _ROLES, plot(lambda width: plots.timeline(record, width))),
        section(
            "Latency",
            _OUTCOMES,
            plot(lambda width: plots.latency(record, made, width)),
            _quantiles(made),
        ),
        section("Throughput", _OUTCOMES, plot(lambda width: plots.throughput(record, made, width))),
        section(
            "Write gaps",
            words(
                "Every time without a successful write, by its length; the probe writes every "
                "40 ms."
            ),
            plot(lambda width: plots.gaps(record, width)),
            words("The same by length: how many there were, on a logarithmic scale."),
            plot(lambda width: plots.gap_histogram(judgement.availability, width)),
        ),
        _faults(judgement),
        _logs(record),
    ]
    title = f"chaos: {word(judgement.valid)}, seed {record.options.seed}"
    path.write_text(page(title, *sections), encoding="utf-8")


def _head(record: RunRecord, judgement: Judgement, replay: str) -> str:
    options = record.options
    done = judgement.counts.values()
    seconds = (record.load_ns[1] - record.load_ns[0]) / 1e9
    figures = {
        "calls": f"{sum(one['ops'] for one in done):,}",
        "unknown outcomes": f"{sum(one['info'] for one in done):,}",
        "faults": str(len(record.faults)),
        "longest write gap": milliseconds(judgement.availability.longest_ms),
        "100 ms windows with writes": f"{judgement.availability.share:.1%}",
        **_spared(judgement),
    }
    about = " · ".join(record.about.values())
    interrupted = " · interrupted" if record.interrupted else ""
    what = (
        f"{options.nodes} nodes · {', '.join(options.workloads)} · {options.nemesis} · "
        f"{seconds:.0f} s · seed {options.seed}{interrupted}"
    )
    return (
        f"<header><div><h1>Chaos run</h1><div class=soft>{escape(what)}</div></div>"
        f"{badge(judgement.valid)}</header>"
        f'<code class="replay">{escape(replay)}</code>{figure_row(figures)}'
        f"{words(NO_MAJORITY) if judgement.under.majority_hit is not None else ''}"
        f"{words(about) if about else ''}"
    )


def _spared(judgement: Judgement) -> dict[str, str]:
    """The same share apart for when a majority was left alone, if it was not always."""
    under = judgement.under
    if under.majority_hit is None:
        return {}
    found = {
        f"of the {milliseconds(under.majority_hit_ms)} with a majority hit": (
            f"{under.majority_hit:.1%}"
        )
    }
    if under.spared is not None:
        name = f"of the {milliseconds(under.spared_ms)} with a majority left alone"
        found[name] = f"{under.spared:.1%}"
    return found


def _anomalies(judgement: Judgement) -> str:
    parts = []
    for name, result in (*judgement.workloads.items(), *judgement.promises.items()):
        if not result.anomalies:
            continue
        lines = "".join(f'<p class="mono wrong">{escape(line)}</p>' for line in result.anomalies)
        drawn = plots.anomaly(result.excerpt) if result.excerpt else ""
        parts.append(section(f"Anomalies: {name}", lines, drawn))
    return "".join(parts)


def _verdicts(judgement: Judgement) -> str:
    workloads = table(
        ("workload", "verdict", "calls", "ok", "failed", "unknown", "figures"),
        (
            (
                _named(name, WORKLOADS),
                badge(result.valid, small=True),
                *(f"{judgement.counts[name][kind]:,}" for kind in ("ops", "ok", "fail", "info")),
                _facts(result),
            )
            for name, result in judgement.workloads.items()
        ),
        numeric=(2, 3, 4, 5),
    )
    promises = table(
        ("promise", "verdict", "figures"),
        (
            (_named(name, PROMISES), badge(result.valid, small=True), _facts(result))
            for name, result in judgement.promises.items()
        ),
    )
    return section("Verdicts", workloads, words(_SUMS), promises)


def _named(name: str, sentences: Mapping[str, str]) -> str:
    """A name with what it is about."""
    sentence = sentences.get(name, "")
    below = words(sentence) if sentence else ""
    return f'<p class="promise">{escape(name)}</p>{below}'


def _facts(result: CheckResult) -> str:
    return escape(", ".join(f"{_plain(k)} {_value(v)}" for k, v in result.facts.items()))


def _value(value: object) -> str:
    if isinstance(value, Mapping):
        return "(" + ", ".join(f"{k} {v}" for k, v in value.items()) + ")"
    return str(value)


def _plain(name: str) -> str:
    return name.replace("_", " ")


def _quantiles(made: Sequence[Call]) -> str:
    took: dict[str, list[float]] = {}
    for call in made:
        if call.ok and call.end is not None:
            took.setdefault(call.invoke.f, []).append((call.end.t - call.invoke.t) / 1e6)
    rows = []
    for f, times in sorted(took.items()):
        times.sort()
        at = [times[min(int(len(times) * q), len(times) - 1)] for q in QUANTILES]
        rows.append((escape(f), f"{len(times):,}", *(milliseconds(t) for t in (*at, times[-1]))))
    head = ("call", "ok", *(f"p{q * 100:.0f}" for q in QUANTILES), "longest")
    return table(head, rows, numeric=(1, 2, 3, 4, 5))


def _faults(judgement: Judgement) -> str:
    rows = [
        (
            escape(effect.fault.name),
            escape(effect.fault.words),
            f"{effect.fault.start_ns / 1e9:.1f} s",
            f"{(effect.fault.end_ns - effect.fault.start_ns) / 1e9:.1f} s",
            milliseconds(effect.unavailable_ms) if effect.unavailable_ms else "none",
        )
        for effect in judgement.effects
    ]
    if not rows:
        return ""
    head = ("fault", "what", "at", "lasted", "without writes")
    return section("Faults", table(head, rows, numeric=(2, 3, 4)))


def _logs(record: RunRecord) -> str:
    parts = []
    for path in sorted((record.options.out / "logs").glob("*.log")):
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        loud = [line for line in lines if "[warning" in line or "[error" in line]
        shown = "\n".join(line[:300] for line in loud[-LOG_LINES:]) or "nothing of note"
        parts.append(
            f"<details><summary>{escape(path.stem)}: {len(lines)} lines, {len(loud)} warnings and "
            f"errors</summary><pre>{escape(shown)}</pre></details>"
        )
    ends = "".join(
        f'<p class="wrong">{escape(end.node_id)} ended by itself:</p>'
        f"<pre>{escape(chr(10).join(end.last_words))}</pre>"
        for end in record.after.unexpected_ends
    )
    return section("Nodes' logs", ends, *parts)


def _keys(colours: Mapping[str, str]) -> str:
    return (
        "<p>"
        + "".join(
            f'<span class="key"><i style="background:var(--{colour})"></i>{escape(name)}</span>'
            for name, colour in colours.items()
        )
        + "</p>"
    )


_SUMS = (
    "Calls = ok + failed + unknown. Failed: certainly refused, as a commit under an old token is. "
    "Unknown: no answer came, so it may have happened; what of that did happen is among what is "
    "there in the end."
)
_OUTCOMES = _keys({"ok": "ok", "failed for certain": "fail", "outcome unknown": "info"})
_ROLES = _keys(
    {
        "leader": "leader",
        "follower": "follower",
        "candidate": "candidate",
        "paused": "paused",
        "no answer": "silent",
        "down": "down",
        "fault": "fault",
    }
)
