from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from benchmarks.speed.peer_environments import PEERS, Peer, PeerMissing, peer_rate, prepare

SCRIPTS = Path(__file__).resolve().parents[2] / "benchmarks" / "peer_scripts"


def test_a_peer_that_cannot_be_installed_says_why(tmp_path: Path) -> None:
    peer = Peer(name="none", package=str(tmp_path / "no_such-1.0-py3-none-any.whl"), needs=(), script="x.py")
    with pytest.raises(PeerMissing, match="No such file"):  # pip refuses it before any index is asked
        prepare(peer, tmp_path)
    assert not (tmp_path / "none" / "installed.json").exists()


def test_an_environment_that_is_ready_is_not_made_again(tmp_path: Path) -> None:
    peer = PEERS[0]
    home = tmp_path / peer.name
    home.mkdir()
    (home / "installed.json").write_text(json.dumps([sys.version, peer.package, *peer.needs]))
    assert prepare(peer, tmp_path).parent.parent == home
    assert [file.name for file in home.iterdir()] == ["installed.json"]


def test_a_peer_that_does_not_run_says_why() -> None:
    # this interpreter has no RecSim
    with pytest.raises(PeerMissing, match="recsim"):
        peer_rate(PEERS[0], Path(sys.executable), "0.1", "10", "2", "keep")


def test_every_peer_has_its_script() -> None:
    assert all((SCRIPTS / peer.script).is_file() for peer in PEERS)
    assert len({peer.name for peer in PEERS}) == len(PEERS)
