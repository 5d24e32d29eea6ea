from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from behavior.errors import InputError
from store.config import StoreConfig
from store.products import Products, generate_products
from store.queries import Want, generate_queries, query_frequency
from store.relevance import true_relevance
from store.shop import open_store
from store.vocabulary import BRANDS, COMPLEMENTS, INTENTS, PRODUCT_TYPES


@pytest.fixture(scope="module")
def products() -> Products:
    return generate_products(2400, np.random.default_rng(3))


@pytest.fixture(scope="module")
def wants(products: Products) -> tuple[Want, ...]:
    return generate_queries(products, 480, np.random.default_rng(4))


def words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.lower()))


def test_the_shop_is_large_enough(products: Products) -> None:
    frame = products.frame
    assert len(frame) == 2400
    assert frame["category"].nunique() >= 40
    assert frame["title"].is_unique
    assert frame["item_id"].is_unique
    assert not frame.isna().any().any()
    assert np.bincount(products.kind).min() >= 4


def test_vocabulary_is_consistent() -> None:
    categories = {spec.category for spec in PRODUCT_TYPES}
    assert set(COMPLEMENTS) <= categories
    assert {other for others in COMPLEMENTS.values() for other in others} <= categories
    tags = {intent.tag for intent in INTENTS}
    assert {tag for spec in PRODUCT_TYPES for tag in spec.tags} == tags
    names = [spec.name for spec in PRODUCT_TYPES]
    assert len(set(names)) == len(names)
    slang = [spec.slang for spec in PRODUCT_TYPES if spec.slang] + [b.nickname for b in BRANDS if b.nickname]
    assert len(set(slang)) == len(slang)


def test_prices_follow_tier_and_kind(products: Products) -> None:
    tier = np.array([BRANDS[b].tier for b in products.brand])
    by_tier = [products.price_relative[tier == t].mean() for t in range(3)]
    assert by_tier[0] < by_tier[1] - 0.2 < by_tier[2] - 0.4
    sofa = [i for i, t in enumerate(products.kind) if products.kinds[t].name == "Sofa"]
    mug = [i for i, t in enumerate(products.kind) if products.kinds[t].name == "Mug"]
    assert products.price[sofa].min() > products.price[mug].max()


def test_rating_and_returns_are_noisy_views_of_hidden_quality_and_hype(products: Products) -> None:
    rating = products.frame["rating"].to_numpy()
    returned = products.frame["return_rate"].to_numpy()
    assert 0.4 < np.corrcoef(rating, products.quality)[0, 1] < 0.95
    assert 0.4 < np.corrcoef(returned, products.hype)[0, 1] < 0.95
    assert np.corrcoef(returned, products.quality)[0, 1] < -0.2


def test_queries_are_varied_and_distinct(wants: tuple[Want, ...]) -> None:
    texts = [want.text for want in wants]
    assert len(set(texts)) == len(texts) == 480
    assert texts[0] == ""
    counts = Counter(want.query_kind for want in wants)
    assert counts["home"] == 1
    assert (
        min(
            counts[kind]
            for kind in ("type", "attribute", "synonym", "misspelling", "vague", "brand", "slang")
        )
        > 20
    )


def test_synonyms_share_no_word_with_the_titles_they_mean(
    products: Products, wants: tuple[Want, ...]
) -> None:
    titles = [words(title) for title in products.frame["title"]]
    checked = 0
    for want in wants:
        if want.query_kind == "synonym":
            for i in np.flatnonzero(np.isin(products.kind, want.kinds)):
                assert not words(want.text) & titles[i], (want.text, products.frame["title"][i])
                checked += 1
    assert checked > 1000


def test_slang_is_nowhere_in_the_catalogue(products: Products, wants: tuple[Want, ...]) -> None:
    known = set().union(*(words(text) for text in products.frame["text"]))
    slang = {spec.slang for spec in products.kinds if spec.slang}
    slang |= {BRANDS[b].nickname for b in np.unique(products.brand) if BRANDS[b].nickname}
    assert not slang & known
    uses = Counter(word for want in wants for word in words(want.text) & slang)
    assert np.mean(list(uses.values())) > 1.3  # several queries teach one word


def test_relevance_of_hand_worked_wishes(products: Products) -> None:
    t = next(t for t, spec in enumerate(products.kinds) if spec.name == "Wallet")
    sibling = next(t for t, spec in enumerate(products.kinds) if spec.name == "Belt")
    red, rose = products.colors.index("Red"), products.colors.index("Rose")
    burgundy = products.colors.index("Burgundy")
    rows = replace(
        products,
        kind=np.array([t, t, t, t, sibling, 0], np.int32),
        color=np.array([red, burgundy, red, rose, red, red], np.int32),
        material=np.array(["Leather", "Leather", "Canvas", "Canvas", "Leather", "Leather"]),
        department=products.department[:6],
        demand=products.demand[:6],
    )
    want = Want(
        text="red leather wallet", query_kind="attribute", kinds=(t,), colors=(red,), materials=("Leather",)
    )
    home = Want(text="", query_kind="home")
    found = true_relevance(rows, (home, want), np.random.default_rng(0))[1]
    # 0.4 for the kind alone, 0.6 for the wishes; a colour of the family is half a wish; a sibling is 0.3 of it all.
    np.testing.assert_allclose(found, [1.0, 0.4 + 0.6 * 0.75, 0.4 + 0.6 * 0.5, 0.4, 0.3, 0.0], atol=1e-6)


def test_relevance_lies_in_bounds_and_every_query_has_something(
    products: Products, wants: tuple[Want, ...]
) -> None:
    relevance = true_relevance(products, wants, np.random.default_rng(0))
    assert relevance.dtype == np.float32
    assert relevance.shape == (480, 2400)
    assert relevance.min() >= 0.0
    assert relevance.max() <= 1.0
    assert (relevance.max(axis=1) > 0.3).all()


def test_frequencies_have_a_head_and_a_tail(wants: tuple[Want, ...]) -> None:
    share = query_frequency(wants, np.random.default_rng(0))
    assert share[0] == 0.0
    assert share.sum() == pytest.approx(1.0)
    ranked = np.sort(share)[::-1]
    assert ranked[:48].sum() > 0.4
    assert ranked[1:].min() >= 0.0
    kinds = np.array([want.query_kind for want in wants])
    assert share[kinds == "type"].mean() > 2 * share[kinds == "attribute"].mean()


def test_more_queries_than_the_products_give_is_an_error() -> None:
    products = generate_products(100, np.random.default_rng(0))
    with pytest.raises(InputError, match="do not give 100000 distinct queries"):
        generate_queries(products, 100_000, np.random.default_rng(0))


@pytest.mark.parametrize("field", ["n_people", "max_steps", "slate_size"])
def test_config_refuses_too_little(field: str) -> None:
    with pytest.raises(ValueError, match=field):
        replace(StoreConfig(), **{field: 0})


@pytest.mark.parametrize("field", ["n_products", "n_queries"])
def test_a_store_too_small_to_generate_is_an_error(field: str) -> None:
    with pytest.raises(InputError, match="too small to generate"):
        open_store(replace(StoreConfig.tiny(), **{field: 5}), cache=False)


def test_config_refuses_more_visits_than_four_a_person() -> None:
    with pytest.raises(ValueError, match="four times"):
        StoreConfig(n_sessions=500, n_people=100)
