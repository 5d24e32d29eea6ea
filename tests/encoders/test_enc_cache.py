from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

from behavior.errors import InputError
from encoders.cache import EmbeddingCache, encode_cached
from encoders.text import HashEncoder

WRITER = """
import sys
from encoders import cache
from encoders.text import HashEncoder
cache._CHUNK = 5
kept = cache.EmbeddingCache(sys.argv[1])
print("ready", flush=True)
for turn in range(int(sys.argv[3])):
    texts = [f"text {n}" for n in range(int(sys.argv[2]) + 20 * turn, int(sys.argv[2]) + 20 * turn + 40)]
    cache.encode_cached(HashEncoder(16), texts, kept, progress=False)
"""


def start(folder: Path, first: int, turns: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, str(folder), str(first), str(turns)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def shard_of(folder: Path, texts: list[str], **bound: float) -> Path:
    """The file that a fresh `put` of `texts` makes."""
    before = set(folder.rglob("*.npz"))
    EmbeddingCache(folder, **bound).put("model", texts, HashEncoder(16).encode(texts))
    (made,) = set(folder.rglob("*.npz")) - before
    return made


def test_processes_share_what_they_write_at_once(tmp_path: Path) -> None:
    """Four processes with overlapping texts: afterwards every text is there, and right."""
    writers = [start(tmp_path, first, 3) for first in (0, 10, 20, 40)]
    for writer in writers:
        writer.communicate(timeout=120)
    assert [writer.returncode for writer in writers] == [0, 0, 0, 0]
    texts = [f"text {n}" for n in range(120)]
    vectors, found = EmbeddingCache(tmp_path).get(HashEncoder(16).fingerprint, texts, 16)
    assert found.all()
    assert np.array_equal(vectors, HashEncoder(16).encode(texts))
    assert not list(tmp_path.rglob(".*"))


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs a kill that cannot be caught")
def test_killed_writers_leave_nothing_that_misleads(tmp_path: Path) -> None:
    texts = [f"text {n}" for n in range(4_040)]
    expected = HashEncoder(16).encode(texts)
    known: set[int] = set()
    for delay in (0.0, 0.05, 0.15):
        writer = start(tmp_path, 0, 200)
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
        time.sleep(delay)
        writer.send_signal(signal.SIGKILL)
        assert writer.wait(timeout=60) == -signal.SIGKILL
        writer.stdout.close()
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # a damaged entry would be told
            vectors, found = EmbeddingCache(tmp_path).get(HashEncoder(16).fingerprint, texts, 16)
        assert np.array_equal(vectors[found], expected[found])
        assert known <= set(np.flatnonzero(found).tolist())  # nothing that was there is lost
        known = set(np.flatnonzero(found).tolist())
    assert 0 < len(known) < 4_000  # it was killed amid its work


def test_what_was_unused_for_longest_goes_first(tmp_path: Path) -> None:
    one = [shard_of(tmp_path, [f"{name} {n}" for n in range(50)]) for name in ("a", "b", "c")]
    size = one[0].stat().st_size
    for age, path in zip((300, 200, 100), one, strict=True):
        os.utime(path, (time.time() - age, time.time() - age))
    bound = 3.5 * size / 2**20
    # Reading uses: now b is the one unused for longest.
    EmbeddingCache(tmp_path, max_mib=bound).get("model", ["a 3"], 16)
    last = shard_of(tmp_path, [f"d {n}" for n in range(50)], max_mib=bound)
    assert {path for path in (*one, last) if path.exists()} == {one[0], one[2], last}
    assert EmbeddingCache(tmp_path, max_mib=bound).evict() == 0


def test_the_bound_holds_across_models_and_a_run_larger_than_it_is_served(tmp_path: Path) -> None:
    cache = EmbeddingCache(tmp_path, max_mib=0.03)
    texts = [f"text {n}" for n in range(400)]
    for width in (16, 8):
        for start_at in range(0, 400, 50):
            found = encode_cached(HashEncoder(width), texts[start_at : start_at + 50], cache)
            assert np.array_equal(found, HashEncoder(width).encode(texts[start_at : start_at + 50]))
        assert sum(path.stat().st_size for path in tmp_path.rglob("*.npz")) <= 0.03 * 2**20


def test_unfinished_files_of_dead_writers_are_swept(tmp_path: Path) -> None:
    shard = shard_of(tmp_path, ["a"])
    dead, live = shard.parent / ".dead-1.npz", shard.parent / ".live-1.npz"
    for path in (dead, live):
        path.write_bytes(b"half")
    os.utime(dead, (time.time() - 7_200, time.time() - 7_200))
    EmbeddingCache(tmp_path).evict()
    assert (dead.exists(), live.exists(), shard.exists()) == (False, True, True)


@pytest.mark.parametrize("bound", ["0", "-3", "much", "inf"])
def test_impossible_bounds_are_refused(monkeypatch, tmp_path: Path, bound: str) -> None:
    monkeypatch.setenv("SLATEGYM_EMBEDDINGS_MIB", bound)
    with pytest.raises(InputError, match="a positive number of MiB"):
        EmbeddingCache(tmp_path)
