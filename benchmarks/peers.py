"""Ours beside other simulators of recommendation, in turn on this machine.

`python -m benchmarks.peers [--quick] [--json FILE] [--keep FOLDER]`. Each peer runs in a virtual environment of its
own, which is made at the first run (pip, from the configured index; a minute or two) and kept:

- RecSim (`recsim-no-tf` 0.2.3): its interest evolution, slates of 10 drawn at random of 100 candidate documents, which
  stay (the faster way) or are drawn anew at each step (the tutorials' way);
- RecoGym (`recogym` 0.1.3.0): `reco-gym-v1` with 100 products, one drawn at random a step: it knows no slates.

Ours is a shop of a thousand items with 64-wide vectors, N 100, K 10: the single environment made by `gymnasium.make`,
and the batched core at B 1,024 on one thread. Rounds alternate between all of them, and the best round of each counts.
A peer that cannot be installed here has no figure; `versions` says why. The scripts that step the peers, and what they
patch to make them run today, are in `benchmarks/peer_scripts/`.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from behavior.files import cache_home
from benchmarks.common import Case, Options, case, main, result
from benchmarks.speed.child import in_child
from benchmarks.speed.peer_environments import PEERS, Peer, PeerMissing, peer_rate, prepare
from benchmarks.speed.table import show

__all__ = ["PeerOptions", "measure"]


@dataclass(frozen=True, kw_only=True)
class PeerOptions(Options):
    """How, and where the peers live."""

    keep: Path | None = None
    """Folder of the peers' virtual environments, about 0.8 GB; the cache folder where none is named."""


@dataclass(frozen=True, kw_only=True)
class _Loop:
    peer: Peer
    name: str
    arguments: tuple[str, ...]


def measure(options: PeerOptions) -> dict[str, Any]:
    """Run all, in turn; `--quick`: two short rounds (45 seconds once the virtual environments are there)."""
    folder = options.keep or cache_home() / "peers"
    seconds, rounds = (1.0, 2) if options.quick else (3.0, 5)
    versions: dict[str, str] = {}
    pythons: dict[str, Path] = {}
    for peer in PEERS:
        package, _, pinned = peer.package.partition("==")
        try:
            pythons[peer.name] = prepare(peer, folder)
            versions[package] = f"{pinned} with {', '.join(peer.needs)}"
        except PeerMissing as missing:
            versions[package] = f"not measured: {missing}"
            print(f"not measured: {missing}", file=sys.stderr)
    loops = [loop for loop in _loops() if loop.peer.name in pythons]
    rates: dict[str, list[float]] = {}
    with tqdm(total=rounds * (1 + len(loops)), desc="peers", unit="run", disable=None) as bar:
        for _ in range(rounds):
            for ours in in_child("ours", seconds=seconds):
                rates.setdefault(ours.case, []).append(ours.value)
            bar.update()
            for loop in list(loops):
                try:
                    rate = peer_rate(loop.peer, pythons[loop.peer.name], str(seconds), *loop.arguments)
                    rates.setdefault(loop.name, []).append(rate)
                except PeerMissing as missing:
                    loops.remove(loop)
                    rates.pop(loop.name, None)
                    versions[loop.name] = f"not measured: {missing}"
                    print(f"not measured: {missing}", file=sys.stderr)
                bar.update()
    cases = _cases({name: max(found) for name, found in rates.items()}, loops)
    show("peers", cases)
    found = result("peers", cases, packages=("numpy", "numba", "gymnasium"))
    found["versions"] |= versions
    return found


def _loops() -> list[_Loop]:
    recsim, recogym = PEERS
    return [
        _Loop(
            peer=recsim,
            name="RecSim interest evolution, N 100, K 10, documents kept",
            arguments=("100", "10", "keep"),
        ),
        _Loop(
            peer=recsim,
            name="RecSim interest evolution, N 100, K 10, documents drawn anew",
            arguments=("100", "10", "resample"),
        ),
        _Loop(peer=recogym, name="RecoGym reco-gym-v1, 100 products, one item a step", arguments=("100",)),
    ]


def _cases(best: dict[str, float], loops: list[_Loop]) -> list[Case]:
    ours = [name for name in best if name not in {loop.name for loop in loops}]
    cases = [case(f"ours, {name}", best[name], "steps/s") for name in ours]
    for loop in loops:
        cases += [
            case(f"ours, {name}; reference: {loop.name}", best[name], "steps/s", best[loop.name])
            for name in ours
        ]
    return cases


if __name__ == "__main__":
    sys.exit(main(measure, PeerOptions, description=__doc__))
