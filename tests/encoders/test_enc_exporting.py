from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from behavior.errors import InputError
from encoders.batching import encode_in_batches, pad_tokens, padding_share, readable
from encoders.cache import EmbeddingCache, encode_cached
from encoders.contract import check_text_encoder
from encoders.exporting.check import check_export
from encoders.features import RelevanceTables
from encoders.pairs import PairCounts
from encoders.relevance import Heads, RelevanceModel

MISSING = [name for name in ("onnx", "onnxscript", "onnxruntime") if importlib.util.find_spec(name) is None]
needs_export = pytest.mark.skipif(bool(MISSING), reason=f"the extra `export` is not installed: {MISSING}")


@pytest.fixture(scope="module")
def small_bert(tmp_path_factory) -> Path:
    """A BERT of two layers with random weights and a tokeniser of letters, as `save_pretrained` writes them."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder = tmp_path_factory.mktemp("bert")
    letters = [chr(code) for code in range(97, 123)]
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{letter}" for letter in letters)]
    (folder / "vocab.txt").write_text("\n".join(words), encoding="utf-8")
    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = BertConfig(
            vocab_size=len(words),
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=64,
            max_position_embeddings=64,
            # Random weights of the usual size hardly tell texts apart.
            initializer_range=0.3,
        )
        BertModel(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def exported(small_bert, tmp_path_factory):
    if MISSING:
        pytest.skip(f"the extra `export` is not installed: {MISSING}")
    from encoders.bert import BertEncoder
    from encoders.exporting.export import export_onnx

    original, folder = BertEncoder(small_bert, device="cpu"), tmp_path_factory.mktemp("onnx")
    return original, {name: export_onnx(original, folder / name, name) for name in ("float32", "int8")}


@needs_export
def test_float32_gives_the_vectors_of_the_original(exported) -> None:
    original, found = exported
    texts = ["a", "red wallet", "oak dining table", "x " * 300, "", "nine " * 7]
    gap = np.abs(found["float32"].encode(texts) - original.encode(texts, progress=False)).max()
    assert gap < 1e-5


@needs_export
def test_int8_is_close_and_smaller(exported) -> None:
    original, found = exported
    texts = ["a", "red wallet", "oak dining table", "nine lives of a cat"]
    cosine = (found["int8"].encode(texts) * original.encode(texts, progress=False)).sum(axis=1)
    assert (cosine > 0.97).all()
    assert cosine.min() < 1.0 - 1e-7  # it is another model, and says so
    assert found["int8"].fingerprint != found["float32"].fingerprint != original.fingerprint
    sizes = {name: (entry.folder / "encoder.onnx").stat().st_size for name, entry in found.items()}
    assert sizes["int8"] < sizes["float32"]


@needs_export
def test_exported_encoders_keep_the_contract(exported) -> None:
    _, found = exported
    check_text_encoder(found["float32"], tolerance=1e-5)


@needs_export
def test_an_exported_encoder_needs_no_torch(exported) -> None:
    _, found = exported
    program = (
        "import sys; from encoders.exporting.onnx_encoder import OnnxEncoder;"
        f"print(OnnxEncoder({str(found['int8'].folder)!r}).encode(['red wallet']).shape, 'torch' in sys.modules)"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert told.split("\n")[0] == "(1, 32) False"


@needs_export
def test_a_relevance_model_keeps_its_exported_encoder(exported, tmp_path: Path) -> None:
    _, found = exported
    heads = Heads.plain(32, click_scale=3.0, purchase_scale=1.0, bias=(-1.0, -2.0))
    RelevanceModel(found["int8"], heads).save(tmp_path / "model")
    read = RelevanceModel.load(tmp_path / "model")
    assert read.encoder.fingerprint == found["int8"].fingerprint
    assert np.array_equal(read.encoder.encode(["red"]), found["int8"].encode(["red"]))


@needs_export
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("no folder", "no exported encoder"),
        ("cut", "encoder.onnx is damaged or from another export"),
        ("tokeniser gone", "tokenizer.json is missing"),
        ("other tokeniser", "tokenizer.json is damaged or from another export"),
        ("format", "no exported encoder"),
    ],
)
def test_damaged_exports_are_named(exported, tmp_path: Path, damage: str, message: str) -> None:
    from encoders.exporting.onnx_encoder import OnnxEncoder

    folder = tmp_path / "encoder"
    if damage != "no folder":
        exported[1]["int8"].save(folder)
    if damage == "cut":
        (folder / "encoder.onnx").write_bytes((folder / "encoder.onnx").read_bytes()[:500])
    if damage == "tokeniser gone":
        (folder / "tokenizer.json").unlink()
    if damage == "other tokeniser":
        text = (folder / "tokenizer.json").read_text(encoding="utf-8")
        (folder / "tokenizer.json").write_text(text.replace('"a"', '"ä"'), encoding="utf-8")
    if damage == "format":
        note = json.loads((folder / "onnx.json").read_text())
        (folder / "onnx.json").write_text(json.dumps({**note, "format": "other"}))
    with pytest.raises(InputError, match=message):
        OnnxEncoder(folder)


def _tables(scores: np.ndarray) -> RelevanceTables:
    """Tables whose click logits are `scores` (Q, I)."""
    return RelevanceTables(
        item=np.eye(scores.shape[1], dtype=np.float32),
        click_query=scores.astype(np.float32),
        purchase_query=scores.astype(np.float32),
        click_bias=0.0,
        purchase_bias=0.0,
    )


def test_the_check_by_hand() -> None:
    # Query 0 has no text. The exported model exchanges the best two items of query 1.
    original = _tables(np.array([[0, 0, 0], [2, 1, 0], [0, 1, 2]]))
    exported = _tables(np.array([[0, 0, 0], [1, 2, 0], [0, 1, 2]]))
    truth = np.array([[0, 0, 0], [1, 0, 0], [0, 0, 1]], np.float32)
    ones = np.ones(3)
    pairs = PairCounts(
        query=np.array([1, 1, 2], np.int32),
        item=np.array([0, 1, 2], np.int32),
        impressions=ones,
        exposure=ones,
        clicks=np.array([1.0, 0, 1]),
        purchases=np.zeros(3),
    )
    check = check_export(original, exported, pairs, truth=truth)
    step = 1 / (1 + np.exp(-2.0)) - 1 / (1 + np.exp(-1.0))
    assert check.largest_score_difference == pytest.approx(step, abs=1e-6)
    assert check.mean_score_difference == pytest.approx(2 * step / 6, abs=1e-6)
    assert check.top_ten_shared == 1.0
    assert check.ndcg_before == 1.0
    assert check.ndcg_after == pytest.approx((1 / np.log2(3) + 1) / 2)
    assert check.ndcg_loss == pytest.approx(1.0 - check.ndcg_after)
    assert check_export(original, original, pairs, truth=truth).largest_score_difference == 0.0


def test_batches_go_by_length_and_come_back_in_order() -> None:
    seen: list[tuple[int, int]] = []

    def encode(ids, mask):
        seen.append(ids.shape)
        return np.stack([ids.sum(axis=1), mask.sum(axis=1)], axis=1).astype(np.float32)

    tokens = [[5] * length for length in (9, 1, 4, 2, 8)]
    out = encode_in_batches(tokens, encode, width=2, batch_size=2, pad=0, progress=False)
    assert out.tolist() == [[45, 9], [5, 1], [20, 4], [10, 2], [40, 8]]
    assert seen == [(2, 2), (2, 8), (1, 9)]
    # 24 real tokens of 4 + 16 + 9 computed.
    assert padding_share([9, 1, 4, 2, 8], 2) == pytest.approx(1 - 24 / 29)
    ids, mask = pad_tokens([[1, 2, 3], [4]], 7)
    assert ids.tolist() == [[1, 2, 3], [4, 7, 7]]
    assert mask.tolist() == [[1, 1, 1], [1, 0, 0]]


def test_texts_are_made_readable() -> None:
    assert readable(["plain ä 🎁", "lone \ud800 surrogate"], 8) == ["plain ä 🎁", "lone ? surrogate"]
    assert len(readable(["x" * 10_000_000], 8)[0]) == 8_000


def test_a_hundred_thousand_equal_titles_are_encoded_once(small_bert, tmp_path: Path) -> None:
    from encoders.bert import BertEncoder

    encoder = BertEncoder(small_bert, device="cpu")
    passed: list[int] = []
    pooled = encoder._pooled
    encoder._pooled = lambda ids, mask: (passed.append(len(ids)), pooled(ids, mask))[1]  # type: ignore[method-assign]
    out = encode_cached(encoder, ["oak table"] * 100_000, EmbeddingCache(tmp_path), progress=False)
    assert out.shape == (100_000, 32)
    assert (out == out[0]).all()
    assert passed == [1]


def test_a_tokeniser_of_another_model_is_refused(small_bert, tmp_path: Path) -> None:
    import shutil

    from encoders.bert import BertEncoder

    folder = tmp_path / "mixed"
    shutil.copytree(small_bert, folder)
    tokeniser = json.loads((folder / "tokenizer.json").read_text())
    words = tokeniser["model"]["vocab"]
    words |= {f"further{n}": len(words) + n for n in range(5)}
    (folder / "tokenizer.json").write_text(json.dumps(tokeniser))
    with pytest.raises(InputError, match="the tokeniser knows 62 word pieces, the model has vectors for 57"):
        BertEncoder(folder, device="cpu")


def test_a_longer_text_than_the_model_reads_is_refused(small_bert) -> None:
    from encoders.bert import BertEncoder

    with pytest.raises(InputError, match="max_length is 65, the model reads texts of 1 to 64"):
        BertEncoder(small_bert, device="cpu", max_length=65)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs limits on memory as POSIX has them")
def test_out_of_memory_says_which_batch_size_would_do(small_bert) -> None:
    program = f"""
import resource, sys, warnings
import numpy as np, torch
torch.set_num_threads(1)
from encoders.bert import BertEncoder
texts = ["a b c d e f g h i j k l m n o p q r s t u v w x y z " * 3 + "x" * (n % 7) for n in range(3_000)]
small = BertEncoder({str(small_bert)!r}, device="cpu", batch_size=500)
expected = small.encode(texts, progress=False)
large = BertEncoder({str(small_bert)!r}, device="cpu", batch_size=3_000)
held = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (held + 60 * 2**20, resource.RLIM_INFINITY))
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    found = large.encode(texts, progress=False)
resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
print(float(np.abs(found - expected).max()) < 1e-5, caught[0].message)
"""
    if not Path("/proc/self/statm").is_file():
        pytest.skip("the memory of a process is not told here")
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr
    assert told.stdout.startswith("True memory did not suffice for batch_size=3000; went on with ")
    size = int(told.stdout.split("went on with ")[1].split(",")[0])
    assert 10 <= size <= 1_500
    assert f"give batch_size={size}" in told.stdout
