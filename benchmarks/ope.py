"""How fast slates are judged from a log: ours beside the Open Bandit Pipeline, CPU seconds and memory.

`python -m benchmarks.ope [--quick] [--json FILE] [--peer-python PATH] [--keep FOLDER]`. Slates of 10, propensities
given, one thread. Both get the same log, drawn anew in each process (`benchmarks/peer_scripts/slate_log.py`), and their
values are compared. Inputs are made beforehand and not counted; memory is what a process's peak rose above them.
At 10 million slates ours are streamed in chunks of 50,000, and memory counts the chunk.

The peer (`sb-obp` 0.5.10, numpy 1.26) has a virtual environment of its own, which is made at the first run (pip, from
the configured index) and kept; `--peer-python` names an interpreter that has it already. `--quick` measures ours
alone at 20,000 slates, and the peer only where `--peer-python` is given.

How right the estimators are: `benchmarks.ope_shop` and `benchmarks.ope_coverage`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from behavior.errors import InputError
from behavior.files import cache_home
from benchmarks.common import Case, Options, case, main, result
from benchmarks.speed.peer_environments import OBP, PeerMissing, prepare, run_peer
from benchmarks.speed.table import show

__all__ = ["OpeOptions", "measure"]

_IPS = ("sips", "iips", "rips", "snsips", "sniips", "snrips")
_OURS = (*_IPS, "cascade_dr", "sncascade_dr", "bootstrap-1000")
_SIZES = {100_000: _OURS, 1_000_000: _OURS}
_STREAMED = (10_000_000, tuple(f"stream-{name}" for name in (*_IPS, "cascade_dr")))
# SIPS of the peer takes minutes at a million: once, at a tenth of that.
_PEER = {
    100_000: ("sips", "iips", "rips", "cascade_dr", "bootstrap-10"),
    1_000_000: ("iips", "rips", "cascade_dr"),
}
_LABELS = {
    "cascade_dr": "Cascade-DR",
    "sncascade_dr": "SNCascade-DR",
    "bootstrap-1000": "bootstrap interval of IIPS, 1,000 resamples",
    "bootstrap-10": "bootstrap interval of IIPS, 10 resamples",
}


@dataclass(frozen=True, kw_only=True)
class OpeOptions(Options):
    """What to measure, and where the peer is."""

    peer_python: Path | None = None
    """Interpreter of an environment that has `sb-obp` 0.5.10."""
    keep: Path | None = None
    """Folder of the peer's virtual environment, about 0.5 GB; the cache folder where none is named."""
    peer: bool = True
    """Whether to run the peer; some minutes."""


def measure(options: OpeOptions) -> dict[str, Any]:
    """Run all, ours first; `--quick`: one small log. An interrupt (Ctrl-C) keeps what has been measured."""
    sizes: dict[int, tuple[str, ...]] = {20_000: _OURS} if options.quick else dict(_SIZES)
    streamed = (20_000, ("stream-sniips",)) if options.quick else _STREAMED
    peers: dict[int, tuple[str, ...]] = {20_000: (*_IPS, "cascade_dr")} if options.quick else dict(_PEER)
    versions, python = _peer(options)
    ours: dict[int, dict[str, dict[str, Any]]] = {}
    theirs: dict[int, dict[str, dict[str, Any]]] = {}
    with tqdm(total=2 * len(sizes) + 1, desc="ope", unit="run", disable=None) as bar:
        try:
            for n, names in sizes.items():
                ours[n] = _ours(n, names)
                bar.update()
            for n in sizes:
                if python is not None:
                    try:
                        theirs[n] = _rows(run_peer(OBP, python, str(n), *peers[n]))
                    except PeerMissing as missing:
                        versions[OBP.package.partition("==")[0]] = f"not measured: {missing}"
                        print(f"not measured: {missing}", file=sys.stderr)
                        python = None
                bar.update()
            ours[streamed[0]] = ours.get(streamed[0], {}) | _ours(*streamed)
            bar.update()
        except KeyboardInterrupt:
            print("interrupted: what follows was measured before", file=sys.stderr)
    cases = [found for n, rows in ours.items() for found in _cases(n, rows, theirs.get(n, {}))]
    show("ope", cases)
    found = result("ope", cases, packages=("numpy", "numba"))
    found["versions"] |= versions
    return found


def _peer(options: OpeOptions) -> tuple[dict[str, str], Path | None]:
    package, _, pinned = OBP.package.partition("==")
    if options.peer_python is not None:
        if not options.peer_python.is_file():
            raise InputError(
                f"no interpreter at {options.peer_python}",
                where="--peer-python",
                mend="Name the python of an environment that has sb-obp, or leave the option out to make one.",
            )
        return {package: f"{pinned} in an environment given"}, options.peer_python
    if options.quick or not options.peer:
        return {}, None
    try:
        python = prepare(OBP, options.keep or cache_home() / "peers")
    except PeerMissing as missing:
        print(f"not measured: {missing}", file=sys.stderr)
        return {package: f"not measured: {missing}"}, None
    return {package: f"{pinned} with {', '.join(OBP.needs)}"}, python


def _ours(n: int, names: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """Each in turn in one fresh process, on one thread."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.speed.slate_estimators", str(n), *names],
        cwd=Path(__file__).resolve().parents[1],
        env=os.environ | {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise InputError(
            f"{(done.stderr.strip().splitlines() or ['no message'])[-1]}",
            where=f"benchmarks.speed.slate_estimators at {n:,} slates",
            mend="Free some memory, or run python -m benchmarks.speed.slate_estimators to see all of it.",
        )
    return _rows(done.stdout)


def _rows(text: str) -> dict[str, dict[str, Any]]:
    rows = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    return {row["name"]: row for row in rows}


def _cases(n: int, ours: dict[str, dict[str, Any]], theirs: dict[str, dict[str, Any]]) -> list[Case]:
    cases = []
    for name, row in ours.items():
        peer = theirs.get(name)
        what = f"{_label(name)}, {n:,} slates"
        beside = "; reference: obp" if peer else ""
        cases.append(case(f"{what}: CPU{beside}", row["cpu_s"], "s", peer["cpu_s"] if peer else None))
        if row["peak_gb"] is not None:
            peak = peer["peak_gb"] if peer else None
            cases.append(case(f"{what}: memory beyond its inputs{beside}", row["peak_gb"], "GB", peak))
        if peer:
            cases.append(case(f"{what}: CPU of obp over ours", peer["cpu_s"] / row["cpu_s"], "times"))
            apart = abs(row["value"] - peer["value"]) / abs(peer["value"])
            cases.append(case(f"{what}: value, relative difference from obp", apart, "share"))
    for name, row in theirs.items():
        if name not in ours:
            what = f"obp alone, {_label(name)}, {n:,} slates"
            cases.append(case(f"{what}: CPU", row["cpu_s"], "s"))
    return cases


def _label(name: str) -> str:
    kind, _, rest = name.partition("-")
    if kind == "stream":
        return f"{_label(rest)} streamed"
    return _LABELS.get(name, name.upper())


if __name__ == "__main__":
    sys.exit(main(measure, OpeOptions, description=__doc__))
