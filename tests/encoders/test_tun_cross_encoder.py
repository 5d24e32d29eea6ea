"""A cross-encoder learns what a pair of texts says together, and survives the disk."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from behavior.errors import InputError
from encoders.pairs import count_pairs, examination_by_position
from encoders.text import catalog_texts
from encoders.tuning.config import TuningConfig
from encoders.tuning.examples import Examples

needs_accelerate = pytest.mark.skipif(
    importlib.util.find_spec("accelerate") is None, reason="the extra `bert` is not installed"
)


@pytest.fixture(scope="module")
def examples(shop) -> Examples:
    pairs = count_pairs(shop.steps, examination_by_position(shop.steps))
    return Examples.from_counts(shop.steps.queries, catalog_texts(shop.catalog), pairs.take(pairs.query > 0))


@needs_accelerate
def test_it_learns_and_comes_back(tiny_bert: Path, examples, tmp_path: Path) -> None:
    from encoders.bert import BertEncoder
    from encoders.tuning.cross_encoder import CrossEncoder, tune_cross_encoder

    encoder = BertEncoder(tiny_bert, device="cpu")
    fingerprint = encoder.fingerprint
    config = TuningConfig(
        max_pairs=800, items_per_query=8, queries_per_batch=4, learning_rate=3e-3, head_learning_rate=3e-2,
        dropout=0.0, purchase="entire_space", positive_weight=None,
    )  # fmt: skip
    cross, history = tune_cross_encoder(encoder, examples, config, progress=False)
    losses = [loss for _, loss in history.train_loss]
    assert np.mean(losses[-5:]) < np.mean(losses[:5])
    encoder.weights_changed()
    assert encoder.fingerprint == fingerprint
    asked, given = (["red shoe", "red shoe", "blue lamp"], ["red shoe 1. shoe", "x", "blue lamp 0. lamp"])
    scores = cross.score(asked, given, progress=False)
    assert scores.shape == (3, 2)
    alone = np.concatenate([cross.score([q], [i], progress=False) for q, i in zip(asked, given, strict=True)])
    assert np.allclose(scores, alone, atol=1e-4)
    cross.save(tmp_path / "cross")
    back = CrossEncoder.load(tmp_path / "cross", device="cpu")
    assert np.allclose(back.score(asked, given, progress=False), scores, atol=1e-6)
    with pytest.raises(InputError, match="no readable cross-encoder"):
        CrossEncoder.load(tmp_path)


@needs_accelerate
def test_the_order_of_lists_does_not_matter_to_the_loss(tiny_bert: Path, examples) -> None:
    import torch

    from encoders.bert import BertEncoder
    from encoders.tuning.batches import draw_batches
    from encoders.tuning.cross_encoder import CrossEncoder, _Collate, _CrossModule

    config = TuningConfig(max_pairs=60, items_per_query=5, ranking="lambda")
    encoder = BertEncoder(tiny_bert, device="cpu")
    rng = np.random.default_rng(0)
    cross = CrossEncoder(encoder, rng.normal(size=(2, 16)).astype(np.float32))
    module = _CrossModule(encoder.model, cross, config, positive_weight=1.0, distil=False).eval()
    groups = draw_batches(examples, config)[:4]
    turned = [replace(group, items=group.items[::-1]) for group in groups[::-1]]
    with torch.no_grad():
        one, two = (module(**_Collate(cross, examples)(part))["loss"].item() for part in (groups, turned))
    assert one == pytest.approx(two, rel=1e-5)
