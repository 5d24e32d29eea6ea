"""Times our slate estimators in a process of its own: `python -m benchmarks.speed.slate_estimators N NAME [NAME ...]`.

Prints a line of JSON for each name, `{"name", "value", "cpu_s", "peak_gb"}`, as the peers' script does, on the same
log. `bootstrap-R` is the bootstrap interval of IIPS over sessions with R resamples, `stream-NAME` an estimator over
chunks of the log, of which no more than one is ever there: all streams named share one pass, and its memory. The best
of three runs counts (one of streams).
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from benchmarks.peer_scripts.slate_log import Meter, blocks, whole
from evaluation.estimators import (
    Estimate,
    cascade_dr,
    iips,
    rips,
    sips,
    sncascade_dr,
    sniips,
    snrips,
    snsips,
)
from evaluation.estimators.streaming import Stream
from evaluation.intervals import bootstrap_estimate

__all__ = ["FORMS", "PAGES", "measure"]

FORMS: dict[str, tuple[Callable[..., Estimate], str]] = {
    "sips": (sips, "slate"),
    "iips": (iips, "item"),
    "rips": (rips, "cascade"),
    "snsips": (snsips, "slate"),
    "sniips": (sniips, "item"),
    "snrips": (snrips, "cascade"),
    "cascade_dr": (cascade_dr, "cascade"),
    "sncascade_dr": (sncascade_dr, "cascade"),
}
"""Each estimator with the propensity it takes."""

PAGES = 5
"""Slates of a session."""


def _estimate(name: str, log: dict[str, Any]) -> Estimate:
    estimator, form = FORMS[name]
    arrays = log["reward"], log[f"logging_{form}"], log[f"evaluation_{form}"]
    if "cascade_dr" not in name:
        return estimator(*arrays)
    tables = {key: log[key] for key in ("action", "evaluation_dist", "q_hat")}
    return estimator(*arrays, **tables)


def measure(n: int, names: list[str]) -> Iterator[dict[str, Any]]:
    """One row a name."""
    stored = [name for name in names if not name.startswith("stream-")]
    log = whole(n, tables=any("cascade_dr" in name for name in stored)) if stored else {}
    for name in stored:
        kind, _, rest = name.partition("-")
        found: list[tuple[float, float | None, float]] = []
        if kind == "bootstrap":
            _bootstrap(whole(1000, tables=False), 10)  # compiles
        for _ in range(3):
            with Meter() as meter:
                value = _bootstrap(log, int(rest)) if kind == "bootstrap" else _estimate(name, log).value
            found.append((meter.cpu_s, meter.peak_gb, value))
        peaks = [peak for _, peak, _ in found if peak is not None]
        yield {
            "name": name,
            "value": found[0][2],
            "cpu_s": min(cpu for cpu, _, _ in found),
            "peak_gb": max(peaks) if peaks else None,
        }
    yield from _streams(n, [name.partition("-")[2] for name in names if name not in stored])


def _bootstrap(log: dict[str, Any], resamples: int) -> float:
    session = np.arange(log["reward"].shape[0]) // PAGES
    interval = bootstrap_estimate(_estimate("iips", log), clusters=session, n_resamples=resamples)
    return interval.value


def _streams(n: int, names: list[str]) -> Iterator[dict[str, Any]]:
    """CPU seconds of each one's estimates and sums alone; the peak of all, with the chunk that is there."""
    if not names:
        return
    streams, cpu, start = {name: Stream() for name in names}, dict.fromkeys(names, 0.0), 0
    with Meter() as meter:
        for log in blocks(n, tables=any("cascade_dr" in name for name in names)):
            session = np.arange(start, start + log["reward"].shape[0]) // PAGES
            start += session.shape[0]
            for name, stream in streams.items():
                started = time.process_time()
                stream.add(_estimate(name, log), clusters=session)
                cpu[name] += time.process_time() - started
    for name, stream in streams.items():
        started = time.process_time()
        value = stream.estimate().value
        spent = cpu[name] + time.process_time() - started
        yield {"name": f"stream-{name}", "value": value, "cpu_s": spent, "peak_gb": meter.peak_gb}


if __name__ == "__main__":
    for row in measure(int(sys.argv[1]), sys.argv[2:]):
        print(json.dumps(row), flush=True)
