"""Fine-tuning a bi-encoder: what each way moves, that it learns, and that a stopped run goes on as if it had not."""

from __future__ import annotations

import importlib.util
import random
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from behavior.errors import InputError
from encoders.pairs import count_pairs, examination_by_position
from encoders.text import catalog_texts
from encoders.tuning.batches import PairLookup, draw_batches
from encoders.tuning.config import TuningConfig
from encoders.tuning.examples import Examples
from encoders.tuning.memory import batch_that_fits, is_out_of_memory
from encoders.tuning.negatives import bm25_negatives, mined_negatives
from encoders.tuning.stored import stored_items

needs_accelerate = pytest.mark.skipif(
    importlib.util.find_spec("accelerate") is None, reason="the extra `bert` is not installed"
)


@pytest.fixture(scope="module")
def examples(shop) -> Examples:
    pairs = count_pairs(shop.steps, examination_by_position(shop.steps))
    return Examples.from_counts(shop.steps.queries, catalog_texts(shop.catalog), pairs.take(pairs.query > 0))


@pytest.fixture
def encoder(tiny_bert: Path):
    from encoders.bert import BertEncoder

    return BertEncoder(tiny_bert, device="cpu")


def small(**changes) -> TuningConfig:
    return replace(
        TuningConfig(
            max_pairs=96, items_per_query=4, queries_per_batch=4, keep=0.0, learning_rate=1e-3, checks=3
        ),
        **changes,
    )


def moved(before: torch.nn.Module, after: torch.nn.Module) -> set[str]:
    old, new = before.state_dict(), after.state_dict()
    assert list(old) == list(new)
    return {name for name in old if not torch.equal(old[name], new[name])}


@needs_accelerate
def test_each_way_moves_what_it_says(encoder, examples) -> None:
    from encoders.tuning.bi_encoder import tune_bi_encoder

    fingerprint = encoder.fingerprint
    found = {}
    for way in ("all", "head", "last", "lora"):
        if way == "lora" and importlib.util.find_spec("peft") is None:
            continue
        tuned = tune_bi_encoder(encoder, examples, small(way=way, last_layers=1), progress=False)
        found[way] = moved(encoder.model, tuned.encoder.model)
        assert tuned.history.steps == tuned.history.planned > 2
        plain = np.array_equal(tuned.heads.projection, np.eye(16))
        assert plain == (way != "head")
        assert (tuned.encoder.fingerprint == fingerprint) == (way == "head")
    encoder.weights_changed()
    assert encoder.fingerprint == fingerprint
    assert found["head"] == set()
    assert all(name.startswith("encoder.layer.1.") for name in found["last"])
    assert {name for name in found["all"] if "pooler" in name} == set()
    assert any("word_embeddings" in name for name in found["all"])
    if "lora" in found:  # adapters are merged: matrices of the layers move, nothing else
        assert found["lora"]
        assert all(name.endswith("weight") and "layer." in name for name in found["lora"])
        assert not any("LayerNorm" in name or "pooler" in name for name in found["lora"])


@needs_accelerate
@pytest.mark.parametrize("ranking", ["pairwise", "softmax", "lambda", "contrastive"])
def test_it_learns(encoder, examples, ranking) -> None:
    from encoders.tuning.bi_encoder import tune_bi_encoder

    random.seed(3)
    state = random.getstate(), torch.get_rng_state()
    config = small(ranking=ranking, max_pairs=400, dropout=0.0, purchase="entire_space")
    config = replace(config, task_weights="uncertainty" if ranking == "softmax" else "fixed")
    tuned = tune_bi_encoder(encoder, examples, config, progress=False)
    assert random.getstate() == state[0]
    assert torch.equal(torch.get_rng_state(), state[1])

    def gap(model) -> float:
        """Mean cosine of clicked pairs less that of unclicked ones."""
        q, i = (model.encode(texts, progress=False) for texts in (examples.queries, examples.items))
        cosine = (q[examples.pairs.query] * i[examples.pairs.item]).sum(1)
        clicks, misses = examples.pairs.clicks, examples.pairs.misses
        return float(np.average(cosine, weights=clicks) - np.average(cosine, weights=misses))

    assert gap(tuned.encoder) > gap(encoder) + 0.02


@needs_accelerate
def test_a_stopped_run_goes_on_as_if_it_had_not(encoder, examples, tmp_path: Path) -> None:
    from encoders.tuning.bi_encoder import tune_bi_encoder

    whole = tune_bi_encoder(encoder, examples, small(), folder=tmp_path / "whole", progress=False)
    last = sorted((tmp_path / "whole").glob("checkpoint-*"), key=lambda p: int(p.name.split("-")[1]))[-1]
    assert int(last.name.split("-")[1]) == whole.history.steps
    assert list((tmp_path / "whole").glob("events.*"))

    class StopError(RuntimeError):
        pass

    calls = 0

    def stop_later(embedding, loss):
        nonlocal calls
        calls += 1
        if calls == 5:
            raise StopError
        return loss()

    with pytest.raises(StopError):
        tune_bi_encoder(
            encoder, examples, small(), folder=tmp_path / "cut", wrap_loss=stop_later, progress=False
        )
    assert list((tmp_path / "cut").glob("checkpoint-*"))
    again = tune_bi_encoder(encoder, examples, small(), folder=tmp_path / "cut", progress=False)
    assert again.encoder.fingerprint == whole.encoder.fingerprint
    with pytest.raises(InputError, match="other settings"):
        tune_bi_encoder(encoder, examples, small(seed=1), folder=tmp_path / "cut", progress=False)
    shutil.rmtree(tmp_path)


@needs_accelerate
def test_it_stops_when_held_out_examples_get_worse(encoder, examples) -> None:
    from encoders.tuning.bi_encoder import tune_bi_encoder

    # The held-out labels contradict the training labels, so every step in earnest makes them worse.
    pairs = examples.pairs
    turned = replace(
        examples,
        pairs=replace(pairs, clicks=pairs.misses, exposure=pairs.exposure, purchases=np.zeros(pairs.n_pairs)),
        gain=(examples.gain == 0.0).astype(float),
    )
    config = small(max_pairs=600, checks=12, patience=2, warm_up=0.0, dropout=0.0, learning_rate=3e-3)
    tuned = tune_bi_encoder(encoder, examples, config, valid=turned, progress=False)
    held_out = [loss for _, loss in tuned.history.held_out_loss]
    assert tuned.history.steps < tuned.history.planned
    assert held_out[-1] > min(held_out)


@needs_accelerate
def test_a_teacher_is_followed(encoder, examples) -> None:
    from encoders.tuning.bi_encoder import tune_bi_encoder

    # A teacher who likes oak, whatever is asked for.
    oak = np.array(["oak" in text for text in examples.items])
    taught = replace(examples, teacher=4.0 * oak[examples.pairs.item])
    config = small(max_pairs=600, pointwise_weight=0.0, purchase="none", dropout=0.0, learning_rate=3e-3)
    tuned = tune_bi_encoder(encoder, taught, config, progress=False)
    losses = [loss for _, loss in tuned.history.train_loss]
    assert np.mean(losses[-5:]) < 0.9 * np.mean(losses[:5])


def test_batches_hold_all_that_is_known(examples) -> None:
    config = small()
    groups = draw_batches(examples, config)
    assert sum(len(group.items) for group in groups) <= config.max_pairs
    lists = PairLookup(examples).lists(groups[:4])
    counts = {
        (q, i): (c, g)
        for q, i, c, g in zip(
            examples.pairs.query, examples.pairs.item, examples.pairs.clicks, examples.gain, strict=True
        )
    }
    for row, q in enumerate(lists.query):
        for column, i in enumerate(lists.item):
            known = counts.get((q, i))
            assert lists.shown[row, column] == (known is not None)
            assert lists.hits[row, column] == pytest.approx(known[0] if known else 0.0)
            assert lists.gain[row, column] == pytest.approx(known[1] if known else 0.0)


def test_negatives_are_near_and_never_positive(examples) -> None:
    pytest.importorskip("bm25s", reason="the extra `negatives` is not installed")
    positives = {
        (int(q), int(i))
        for q, i in zip(
            examples.pairs.query[examples.gain > 0], examples.pairs.item[examples.gain > 0], strict=True
        )
    }
    lexical = bm25_negatives(examples, 3)
    assert lexical.shape == (len(examples.queries), 3)
    assert (lexical[0] == -1).all()  # the empty query shares words with nothing
    q = examples.queries.index("red shoe")
    assert (lexical[q] >= 0).all()
    assert all({"red", "shoe"} & set(examples.items[i].split()) for i in lexical[q])
    rng = np.random.default_rng(0)
    query, item = (
        rng.normal(size=(n, 4)).astype(np.float32) for n in (len(examples.queries), len(examples.items))
    )
    mined = mined_negatives(examples, query, item, 3)
    for found in (lexical, mined):
        assert not any((q, int(i)) in positives for q, row in enumerate(found) for i in row)
    group = draw_batches(examples, small(), lexical)[0]
    assert set(lexical[group.query].tolist()) - {-1} <= set(group.items)


def test_mined_negatives_by_hand() -> None:
    # Cosines 0.9 (positive), 0.89 (too close to be trusted), 0.5, 0.1, -0.2.
    cosine = np.array([0.9, 0.89, 0.5, 0.1, -0.2], np.float32)
    item = np.stack([cosine, np.sqrt(1 - cosine**2)], axis=1)
    few = Examples.from_ratings(
        ("q",), tuple("abcde"), np.zeros(2, int), np.array([0, 3]), np.array([3.0, 0.0])
    )
    found = mined_negatives(few, np.array([[1.0, 0.0]], np.float32), item, 3)
    assert found.tolist() == [[2, 3, -1]]


def test_ratings_become_counts() -> None:
    query, item, rating = np.array([1, 0, 0]), np.array([0, 1, 0]), np.array([3.0, 1.0, 0.0])
    made = Examples.from_ratings(("a", "b"), ("x", "y"), query, item, rating)
    assert made.pairs.query.tolist() == [0, 0, 1]
    assert made.pairs.item.tolist() == [0, 1, 0]
    assert made.pairs.clicks.tolist() == pytest.approx([0.0, 1 / 3, 1.0])
    assert made.gain.tolist() == pytest.approx([0.0, 1 / 7, 1.0])
    made.check()
    with pytest.raises(InputError, match="all 1 pairs are negatives"):
        made.take(np.array([0])).check()
    with pytest.raises(InputError, match="all 1 pairs are positives"):
        made.take(np.array([2])).check()
    with pytest.raises(InputError, match=r"no \(query, item\) pairs"):
        made.take(np.zeros(0, np.int64)).check()
    with pytest.raises(InputError, match="numbers from 0"):
        Examples.from_ratings(("a",), ("x",), np.zeros(1, int), np.zeros(1, int), np.array([np.nan]))


def test_memory_that_does_not_suffice_names_a_batch_that_does() -> None:
    tried = []

    def attempt(size: int) -> None:
        tried.append(size)
        torch.empty(2**60 if size > 3 else 4)  # the allocator's own refusal

    assert batch_that_fits(attempt, 16) == 2
    assert tried == [8, 4, 2]
    assert batch_that_fits(lambda size: torch.empty(2**60), 8) == 0
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60)
    assert is_out_of_memory(caught.value)
    assert not is_out_of_memory(RuntimeError("shapes do not match"))


def test_rates_by_layer(encoder) -> None:
    from encoders.tuning.ways import parameter_groups, prepared

    config = TuningConfig(learning_rate=1e-3, head_learning_rate=1e-2, layer_decay=0.5)
    head = torch.nn.Linear(16, 1)
    module = torch.nn.ModuleDict({"bert": prepared(encoder.model, config), "head": head})
    rate = {
        id(parameter): group["lr"]
        for group in parameter_groups(module, encoder.model, config)
        for parameter in group["params"]
    }
    layers = encoder.model.encoder.layer
    assert rate[id(head.weight)] == 1e-2
    assert rate[id(layers[1].output.dense.weight)] == 1e-3
    assert rate[id(layers[0].output.dense.weight)] == 5e-4
    assert rate[id(encoder.model.embeddings.word_embeddings.weight)] == 2.5e-4


def test_settings_are_checked() -> None:
    with pytest.raises(InputError, match="queries_per_batch is -1"):
        TuningConfig(queries_per_batch=-1)
    with pytest.raises(InputError, match="max_pairs is 0"):
        TuningConfig(max_pairs=0)
    with pytest.raises(InputError, match="keep is 2"):
        TuningConfig(keep=2.0)


def test_items_that_stand_by_are_the_most_looked_at_and_some_at_random(examples) -> None:
    n = len(examples.items)
    assert stored_items(examples, small()).tolist() == list(range(n))
    looked_at = np.bincount(examples.pairs.item, weights=examples.pairs.exposure, minlength=n)
    few = stored_items(examples, small(contrast=11))
    assert few.size == np.unique(few).size == 11
    assert set(np.argsort(-looked_at, kind="stable")[:6].tolist()) <= set(few.tolist())
    assert few.tolist() == stored_items(examples, small(contrast=11)).tolist()
    assert few.tolist() != stored_items(examples, small(contrast=11, seed=1)).tolist()
    assert stored_items(examples, small(contrast=0)).size == 0
    assert stored_items(examples, small(ranking="lambda")).size == 0
    taught = replace(examples, teacher=np.zeros(examples.pairs.n_pairs))
    assert stored_items(taught, small()).size == 0


def test_stored_items_contrast_as_read_ones_do(encoder, examples) -> None:
    """With vectors of the weights as they are, standing by gives the loss of reading; then what was read is kept."""
    from encoders.relevance import Heads
    from encoders.tuning.bi_encoder import _BiEncoder, _Collate

    config = small(dropout=0.0, contrast=9)
    heads = Heads.plain(16, click_scale=10.0, purchase_scale=1.0, bias=(-1.0, -2.0))
    stored = stored_items(examples, config)
    vectors = encoder.encode([examples.items[i] for i in stored], progress=False)

    def module(kept) -> _BiEncoder:
        return _BiEncoder(encoder.model, heads, config, kept, positive_weight=1.0, distil=False).eval()

    groups = draw_batches(examples, config)[:3]
    read = {i for group in groups for i in group.items}
    batch = _Collate(encoder, examples, stored)(groups)
    assert batch["targets"]["shown"].shape[1] == len(read | set(stored.tolist()))
    all_read = replace(groups[0], items=(*groups[0].items, *stored.tolist()))
    whole = _Collate(encoder, examples, stored[:0])([all_read, *groups[1:]])
    stands_by, reads = module(vectors)(**batch)["loss"], module(vectors[:0])(**whole)["loss"]
    assert stands_by.item() == pytest.approx(reads.item(), rel=1e-5)

    learner = module(np.zeros_like(vectors))
    learner(**batch)
    assert not learner.stored.any()  # judging leaves them as they are
    learner.train()
    encoder.model.eval()  # no dropout
    learner(**batch)
    again = np.isin(stored, list(read))
    np.testing.assert_allclose(learner.stored[again], vectors[again], atol=1e-5)
    assert not learner.stored[~again].any()


@needs_accelerate
def test_the_anchor_holds_vectors_where_they_were(encoder, examples) -> None:
    from encoders.tuning.bi_encoder import tune_bi_encoder

    texts = examples.queries[1:]
    old = encoder.encode(texts, progress=False)
    drift = []
    for anchor in (0.0, 1_000.0):
        config = small(anchor=anchor, dropout=0.0, max_pairs=200)
        tuned = tune_bi_encoder(encoder, examples, config, progress=False)
        drift.append(float((1.0 - (tuned.encoder.encode(texts, progress=False) * old).sum(1)).mean()))
    assert drift[1] < 0.3 * drift[0]
