from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from behavior.catalog import Catalog
from behavior.errors import InputError
from encoders.cache import EmbeddingCache, encode_cached
from encoders.contract import check_text_encoder
from encoders.text import HashEncoder, TextEncoder, catalog_texts


class Counting:
    """An encoder that counts what it is asked for."""

    def __init__(self) -> None:
        self.inner = HashEncoder(16)
        self.asked: list[str] = []

    @property
    def width(self) -> int:
        return self.inner.width

    @property
    def fingerprint(self) -> str:
        return self.inner.fingerprint

    def encode(self, texts, *, progress: bool = True):
        self.asked += list(texts)
        return self.inner.encode(texts)


def test_hash_encoder_keeps_the_contract() -> None:
    check_text_encoder(HashEncoder(), tolerance=0.0)
    assert isinstance(HashEncoder(), TextEncoder)


def test_hash_encoder_sees_spelling() -> None:
    a, b, c = HashEncoder(256).encode(["oak dining table", "dining tables", "running shoes"])
    assert a @ b > a @ c + 0.2


def test_hash_encoder_is_the_same_everywhere() -> None:
    # A fixed value: the digest decides, not the platform or the process.
    vector = HashEncoder(4).encode(["a"])[0]
    signs = np.unpackbits(np.frombuffer(__import__("hashlib").sha256(b"^a$").digest(), np.uint8))[:4]
    assert vector.tolist() == ((signs * 2.0 - 1.0) / 2.0).tolist()


def test_a_lying_encoder_fails_the_contract() -> None:
    class Neighbours(Counting):
        def encode(self, texts, *, progress: bool = True):
            out = self.inner.encode(texts)
            return out if len(texts) < 2 else out[::-1].copy()

    with pytest.raises(AssertionError, match="alone and in a batch"):
        check_text_encoder(Neighbours())

    class Long(Counting):
        def encode(self, texts, *, progress: bool = True):
            return self.inner.encode(texts) * np.float32(2)

    with pytest.raises(AssertionError, match="expected 1"):
        check_text_encoder(Long())


def test_each_text_is_encoded_once(tmp_path: Path) -> None:
    encoder, cache = Counting(), EmbeddingCache(tmp_path)
    texts = ["b", "a", "b", "", "longer text"]
    first = encode_cached(encoder, texts, cache)
    assert sorted(encoder.asked) == ["", "a", "b", "longer text"]
    assert np.array_equal(first, HashEncoder(16).encode(texts))
    assert np.array_equal(encode_cached(encoder, [*texts, "new"], cache)[:5], first)
    assert encoder.asked[4:] == ["new"]
    assert encode_cached(encoder, [], cache).shape == (0, 16)


def test_models_do_not_share_entries(tmp_path: Path) -> None:
    cache = EmbeddingCache(tmp_path)
    encode_cached(HashEncoder(16), ["a"], cache)
    assert encode_cached(HashEncoder(8), ["a"], cache).shape == (1, 8)


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "text"])
def test_damaged_entries_are_computed_again_with_a_warning(tmp_path: Path, damage: str) -> None:
    encoder, cache = Counting(), EmbeddingCache(tmp_path)
    before = encode_cached(encoder, ["a", "b"], cache)
    (shard,) = tmp_path.rglob("*.npz")
    content = bytearray(shard.read_bytes())
    if damage == "flip":  # one byte of the vectors: only the checksum can tell
        content[content.index(before[0].tobytes()) + 1] ^= 0xFF
    shard.write_bytes(
        {"cut": content[: len(content) // 2], "empty": b"", "text": b"hello"}.get(damage, content)
    )
    with pytest.warns(UserWarning, match="damaged embedding cache entry"):
        after = encode_cached(encoder, ["a", "b"], cache)
    assert np.array_equal(before, after)
    assert encoder.asked == ["a", "b", "a", "b"]
    assert np.array_equal(encode_cached(encoder, ["a"], cache), before[:1])  # mended on disk
    assert len(encoder.asked) == 4


def test_a_damaged_entry_that_stays_costs_a_warning_each_time(tmp_path: Path) -> None:
    """As on a disk that is read-only: what cannot be removed or replaced is passed over."""
    encoder, cache = Counting(), EmbeddingCache(tmp_path)
    before = encode_cached(encoder, ["a", "b"], cache)
    (shard,) = tmp_path.rglob("*.npz")
    shard.unlink()
    shard.mkdir()
    for _ in range(2):
        with (
            pytest.warns(UserWarning, match="not used, its texts are encoded again"),
            pytest.warns(UserWarning, match="the embedding cache cannot be written"),
        ):
            assert np.array_equal(encode_cached(encoder, ["a", "b"], cache), before)
    assert encoder.asked == ["a", "b"] * 3


def test_concurrent_writers_agree(tmp_path: Path) -> None:
    texts = [f"text {n}" for n in range(50)]
    expected = HashEncoder(16).encode(texts)
    results: list[np.ndarray] = []

    def work() -> None:
        results.append(encode_cached(HashEncoder(16), texts, EmbeddingCache(tmp_path)))

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 6
    assert all(np.array_equal(found, expected) for found in results)
    assert not list(tmp_path.rglob(".*"))  # no temporary file left


def test_a_cache_that_cannot_be_written_costs_only_a_warning(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.warns(UserWarning, match="cannot be written"):
        found = encode_cached(HashEncoder(16), ["a"], EmbeddingCache(tmp_path / "file"))
    assert np.array_equal(found, HashEncoder(16).encode(["a"]))


def test_item_texts_join_columns_without_repeats() -> None:
    import pandas as pd

    frame = pd.DataFrame({"item_id": ["1", "2"], "title": ["Sofa", "Lamp"], "category": ["Sofa", "Light"]})
    catalog = Catalog.from_frame(frame)
    assert catalog_texts(catalog) == ["Sofa", "Lamp. Light"]
    with pytest.raises(InputError, match="no column 'colour'"):
        catalog_texts(catalog, ("title", "colour"))
