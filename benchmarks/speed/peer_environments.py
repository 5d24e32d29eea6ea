"""Virtual environments in which other simulators run with the libraries of their day, apart from ours."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

__all__ = ["OBP", "PEERS", "Peer", "PeerMissing", "peer_rate", "prepare", "run_peer"]

_SCRIPTS = Path(__file__).resolve().parent.parent / "peer_scripts"


@dataclass(frozen=True, kw_only=True)
class Peer:
    """A simulator to run beside ours."""

    name: str
    """Folder of its virtual environment."""
    package: str
    """The requirement that is measured, pinned."""
    needs: tuple[str, ...]
    """What it needs to run, pinned; its own list of requirements is not followed, being too old or too long."""
    script: str
    """File in `benchmarks/peer_scripts/`."""


class PeerMissing(Exception):  # noqa: N818  (an outcome, not a fault of ours)
    """A peer could not be installed or run here; the message says why."""


_DAY = ("gym==0.26.2", "numpy==1.26.4", "scipy==1.13.1")

PEERS = (
    Peer(
        name="recsim",
        package="recsim-no-tf==0.2.3",
        needs=("six", "absl-py", "gin-config==0.5.0", *_DAY),
        script="recsim_loop.py",
    ),
    # Its own requirements would bring TensorFlow, torch and Jupyter: 8 GB for agents that are not run here.
    Peer(
        name="recogym",
        package="recogym==0.1.3.0",
        needs=("tqdm", "pandas==2.2.3", "numba==0.61.2", *_DAY),
        script="recogym_loop.py",
    ),
)

OBP = Peer(
    name="obp",
    package="sb-obp==0.5.10",
    # Its own requirements would bring torch with CUDA: 6 GB for policies that are not run here.
    needs=(
        "numpy==1.26.4",
        "scipy==1.13.1",
        "scikit-learn==1.5.2",
        "pandas==2.2.3",
        "tqdm",
        "PyYAML==6.0.2",
        "matplotlib==3.9.2",
        "seaborn==0.13.2",
    ),
    script="obp_slates.py",
)
"""The Open Bandit Pipeline, beside which `benchmarks.ope` times estimators."""


def prepare(peer: Peer, folder: Path) -> Path:
    """The interpreter of the peer's virtual environment in `folder`; made, and filled by pip, where it is missing.

    Raises:
        PeerMissing: It cannot be made; the message ends with pip's own last words.
    """
    home = folder / peer.name
    python = home / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    marker, wanted = home / "installed.json", json.dumps([sys.version, peer.package, *peer.needs])
    if marker.is_file() and marker.read_text(encoding="utf-8") == wanted:
        return python
    print(f"{peer.name}: making a virtual environment in {home}", file=sys.stderr)
    _run([sys.executable, "-m", "venv", "--clear", str(home)], peer)
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    print(f"{peer.name}: installing {peer.package} and {', '.join(peer.needs)}", file=sys.stderr)
    if peer.needs:
        _run([*pip, *peer.needs], peer)
    _run([*pip, "--no-deps", peer.package], peer)
    marker.write_text(wanted, encoding="utf-8")
    return python


def peer_rate(peer: Peer, python: Path, *arguments: str) -> float:
    """Steps per second of the peer's loop, run once.

    Raises:
        PeerMissing: It does not run; the message ends with its own last words.
    """
    found = json.loads(run_peer(peer, python, *arguments).splitlines()[-1])
    return float(found["steps"]) / float(found["seconds"])


def run_peer(peer: Peer, python: Path, *arguments: str) -> str:
    """What the peer's script prints.

    Raises:
        PeerMissing: It does not run; the message ends with its own last words.
    """
    return _run([str(python), str(_SCRIPTS / peer.script), *arguments], peer)


def _run(command: list[str], peer: Peer) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        words = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise PeerMissing(f"{peer.package}: {words[-1] if words else f'exit code {done.returncode}'}")
    return done.stdout
