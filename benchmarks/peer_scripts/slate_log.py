"""A log of slates to time estimators on, the same for every contestant; and a meter of time and memory.

Imported by scripts that run in environments of their own, so it needs no more than numpy. Ten items stand on ten
positions, drawn by a Plackett-Luce policy; another one is judged. Rows are made in blocks with a seed each: any part
of the log can be made alone.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

K = 10
"""Positions, and items."""
BLOCK = 50_000
"""Rows with one seed."""


def blocks(n: int, *, tables: bool) -> Iterator[dict[str, Any]]:
    """The log of `n` slates in blocks of rows; `tables`: with what doubly robust estimators need, (m, K, K)."""
    for number, start in enumerate(range(0, n, BLOCK)):
        yield _block(min(BLOCK, n - start), number, tables=tables)


def whole(n: int, *, tables: bool) -> dict[str, Any]:
    """The log of `n` slates as arrays."""
    made: dict[str, Any] = {}
    start = 0
    for block in blocks(n, tables=tables):
        for name, part in block.items():
            if name not in made:
                made[name] = np.empty((n, *part.shape[1:]), part.dtype)
            made[name][start : start + len(part)] = part
        start += len(block["reward"])
    return made


def _block(m: int, number: int, *, tables: bool) -> dict[str, Any]:
    rng = np.random.default_rng([7, number])
    scores = rng.normal(size=(2, 1, K)) * 0.1 + np.linspace(0, 0.6, K)  # alike, so that weights stay finite
    logging, evaluation = np.exp(scores[0]), np.exp(scores[1] + 0.2 * rng.normal(size=(m, K)))
    action = np.argsort(rng.exponential(size=(m, K)) / logging, axis=1)
    found: dict[str, Any] = {"reward": (rng.random((m, K)) < 0.1).astype(np.float64), "action": action}
    for name, rates in (("logging", np.broadcast_to(logging, (m, K))), ("evaluation", evaluation)):
        chosen = np.take_along_axis(rates, action, axis=1)
        left = np.cumsum(chosen[:, ::-1], axis=1)[:, ::-1]  # of those not shown above
        step = np.minimum(chosen / left, 1.0)
        found[f"{name}_item"] = step
        found[f"{name}_cascade"] = np.cumprod(step, axis=1)
        found[f"{name}_slate"] = found[f"{name}_cascade"][:, -1].copy()
        if tables and name == "evaluation":
            below = np.empty((m, K), np.intp)
            np.put_along_axis(below, action, np.broadcast_to(np.arange(K), (m, K)), axis=1)
            still = below[:, None, :] >= np.arange(K)[None, :, None]  # (m, K, items) not shown above k
            found["evaluation_dist"] = np.where(still, rates[:, None, :], 0.0) / left[:, :, None]
            found["q_hat"] = rng.random((m, K, K))
    return found


class Meter:
    """CPU seconds of a block of code, and how far the process's memory rose above what it had at its start."""

    def __enter__(self) -> Meter:
        gc.collect()
        self.peak_gb: float | None = None
        self._had = self._now("VmRSS")
        try:
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # forget the peak so far
        except OSError:
            self._had = None
        self._started = time.process_time()
        return self

    def __exit__(self, *failure: object) -> None:
        self.cpu_s = time.process_time() - self._started
        most = self._now("VmHWM")
        if self._had is not None and most is not None:
            self.peak_gb = max(0.0, most - self._had)

    @staticmethod
    def _now(field: str) -> float | None:
        """Gigabytes; None where the system does not say."""
        status = Path("/proc/self/status")
        if not status.is_file():
            return None
        lines = [
            line for line in status.read_text(encoding="ascii").splitlines() if line.startswith(field + ":")
        ]
        return float(lines[0].split()[1]) * 1024 / 1e9 if lines else None
