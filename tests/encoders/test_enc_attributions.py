from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from behavior.errors import InputError
from encoders.attributions import TextAttribution, attribute_words, shapley_values
from encoders.relevance import Heads, RelevanceModel
from encoders.text import HashEncoder

pytest.importorskip("captum", reason="the extra `relevance` is not installed")


@pytest.fixture(scope="module")
def model() -> RelevanceModel:
    return RelevanceModel(
        HashEncoder(64), Heads.plain(64, click_scale=6.0, purchase_scale=1.0, bias=(-2.0, -2.0))
    )


def test_values_by_enumeration() -> None:
    """A game with an interaction: sampled values go to the mean over all orders."""

    def score(sets):
        return 2.0 * sets[:, 0] + sets[:, 1] + 3.0 * sets[:, 0] * sets[:, 2] + 0.5

    exact = np.zeros(4)
    for order in permutations(range(4)):
        inside = np.zeros((1, 4))
        for player in order:
            before = score(inside)[0]
            inside[0, player] = 1.0
            exact[player] += (score(inside)[0] - before) / 24
    assert exact.tolist() == pytest.approx([3.5, 1.0, 1.5, 0.0])
    found = shapley_values(score, 4, permutations=2_000, seed=0)
    assert np.abs(found - exact).max() < 5 * 1.5 / 2_000**0.5  # each contribution deviates by 1.5 at most
    assert found.sum() == pytest.approx(6.0, abs=1e-6)
    assert shapley_values(score, 0, permutations=3).shape == (0,)


@pytest.mark.parametrize("draws", [1, 7])
def test_words_add_up_to_the_score(model, draws) -> None:
    query, item = "oak dining table", "Brandt Oak Dining Table, 160 cm. Tables"
    found = attribute_words(model, query, item, permutations=draws)
    vectors = model.encoder.encode([query, item])
    assert found.logit == pytest.approx(6.0 * float(vectors[0] @ vectors[1]) - 2.0, abs=1e-5)
    for base, words in ((found.item_base, found.item_words), (found.query_base, found.query_words)):
        assert base + sum(share.value for share in words) == pytest.approx(found.logit, abs=1e-6)
    assert [share.word for share in found.query_words] == query.split()
    assert [share.word for share in found.item_words] == item.split()
    assert found.probability == pytest.approx(1 / (1 + np.exp(-found.logit)))


def test_a_query_read_otherwise_is_known_as_it_was_written() -> None:
    """The explained logit is that of the model's tables, for a misspelt query that the log knows too."""
    import pandas as pd

    from behavior.catalog import Catalog
    from encoders.relevance import KnownQueries

    class WithWords(HashEncoder):
        pieces = ("green", "sofa")

    catalog = Catalog.from_frame(
        pd.DataFrame({"item_id": ["a"], "title": ["green velvet lamp"], "category": [""], "price": [1.0]})
    )
    offset = np.random.default_rng(0).normal(size=(1, 65)).astype(np.float32)
    model = RelevanceModel(
        WithWords(64),
        Heads.plain(64, click_scale=6.0, purchase_scale=1.0, bias=(-2.0, -2.0)),
        known=KnownQueries(texts=("velvt lamp",), click=offset),
        spelling=True,
    )
    tables = model.tables(catalog, ["velvt lamp"], progress=False)
    expected = float(tables.click_query[0] @ tables.item[0]) + tables.click_bias
    (read,) = model.read(catalog, ["velvt lamp"])
    assert read == "velvet lamp"
    found = attribute_words(model, read, "green velvet lamp", permutations=2, known_as="velvt lamp")
    assert found.logit == pytest.approx(expected, abs=1e-5)
    assert attribute_words(model, read, "green velvet lamp", permutations=2).logit != pytest.approx(
        expected, abs=0.1
    )


def test_the_word_that_matches_is_named(model) -> None:
    found = attribute_words(model, "lamp", "green velvet lamp", permutations=30)
    values = {share.word: share.value for share in found.item_words}
    assert values["lamp"] > 1.0
    assert values["lamp"] > values["green"] + 1.0
    assert values["lamp"] > values["velvet"] + 1.0


def test_the_same_seed_gives_the_same_values_and_leaves_the_global_generator_alone(model) -> None:
    import torch

    state = torch.random.get_rng_state()
    one, other = (attribute_words(model, "red sofa", "a red sofa bed", permutations=3) for _ in range(2))
    assert one == other
    assert torch.equal(torch.random.get_rng_state(), state)
    assert TextAttribution.from_dict(one.as_dict()) == one


def test_long_and_strange_texts_are_explained(model) -> None:
    found = attribute_words(model, "🎁 подарок", "word " * 300, permutations=1, most_words=12)
    assert len(found.item_words) == 12
    assert found.item_words[-1].word.count("word") == 289
    assert found.item_base + sum(s.value for s in found.item_words) == pytest.approx(found.logit, abs=1e-6)
    empty = attribute_words(model, "lamp", "", permutations=1)
    assert empty.item_words == ()
    assert empty.item_base == pytest.approx(empty.logit)
    with pytest.raises(InputError, match="without words"):
        attribute_words(model, "  ", "lamp")
