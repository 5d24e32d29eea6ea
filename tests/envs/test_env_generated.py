"""Generated shops: what `ShopSpec` says of items, queries and candidates is so.

Statistical tests refuse a right shop with a probability below one in a million each; shops are keyed by fixed seeds.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from behavior.errors import InputError
from envs.generated import ShopSpec, Titles, generate_world
from simulators.shopper import Shopper

SPEC = ShopSpec(
    n_items=3000, n_queries=60, n_candidates=30, n_topics=12, lure_quality=-0.6, style_worth=0.5, seed=3
)
WORLD = generate_world(SPEC)
TRAITS = {
    name: WORLD.simulator.item_traits[:, c].astype(float)
    for c, name in enumerate(("price", "lure", "quality", "worth", "style"))
}


def arrays(world):
    features, simulator = world.features, world.simulator
    return [
        features.item_vectors, features.query_vectors, features.item_numeric, features.item_category, features.price,
        features.popularity, features.margin, world.candidates.items, world.candidates.scores,
        simulator.item_traits,
    ]  # fmt: skip


def test_the_same_spec_gives_the_same_shop_and_another_seed_another():
    again, other = generate_world(SPEC), generate_world(dataclasses.replace(SPEC, seed=4))
    assert all(np.array_equal(a, b) for a, b in zip(arrays(WORLD), arrays(again), strict=True))
    assert not any(np.array_equal(a, b) for a, b in zip(arrays(WORLD), arrays(other), strict=True))


def test_items_are_unit_vectors_of_a_topic_half_and_a_style_half():
    items, half = WORLD.features.item_vectors, SPEC.width // 2
    np.testing.assert_allclose(np.linalg.norm(items, axis=1), 1.0, atol=1e-5)
    np.testing.assert_allclose((items[:, half:] ** 2).sum(axis=1), SPEC.style_share, atol=1e-5)
    assert not WORLD.features.query_vectors[:, half:].any()
    np.testing.assert_allclose(np.linalg.norm(WORLD.features.query_vectors, axis=1), 1.0, atol=1e-5)


def test_items_lie_around_their_style():
    # 1 of common direction against 0.5 of one's own gives a cosine of about 1 / sqrt(1.25).
    half, style = SPEC.width // 2, WORLD.features.item_category
    own = WORLD.features.item_vectors[:, half:] / np.sqrt(SPEC.style_share)
    personas = WORLD.simulator.tables(1).personas[:, half:]
    cosine = (own * personas[style]).sum(axis=1)
    assert abs(cosine.mean() - 0.9) < 0.03
    np.testing.assert_array_equal(TRAITS["style"], style)
    assert np.bincount(style, minlength=10).min() > 200


@pytest.mark.parametrize("n_items", [500, 3000])
def test_candidates_are_the_nearest_items_of_their_pool_best_first(n_items):
    world = generate_world(dataclasses.replace(SPEC, n_items=n_items))
    items, queries, rows = world.features.item_vectors, world.features.query_vectors, world.candidates.items
    for q in range(0, 60, 7):
        fit = items[rows[q]] @ queries[q]
        assert (np.diff(fit) <= 0).all()
        assert len(set(rows[q].tolist())) == 30
        if n_items <= 2000:  # else they are sought among the items of one topic
            everywhere = np.sort(items @ queries[q])[::-1][:30]
            np.testing.assert_allclose(fit, everywhere, atol=1e-6)
    assert (np.diff(world.candidates.scores, axis=1) <= 1e-7).all()


def test_scores_are_the_click_chance_of_who_likes_nothing():
    items, queries = WORLD.features.item_vectors.astype(float), WORLD.features.query_vectors.astype(float)
    user = SPEC.shopper
    logit = user.click_bias + user.query_fit * np.einsum("qnd,qd->qn", items[WORLD.candidates.items], queries)
    np.testing.assert_allclose(WORLD.candidates.scores, 1 / (1 + np.exp(-logit)), atol=1e-5)


def test_lure_and_quality_go_together_as_said():
    found = np.corrcoef(TRAITS["lure"], TRAITS["quality"])[0, 1]
    assert abs(np.arctanh(found) - np.arctanh(-0.6)) < 5.2 / np.sqrt(3000)
    for name in ("lure", "quality"):
        assert abs(TRAITS[name].std() - 1) < 5.2 / np.sqrt(2 * 3000)


def test_the_rating_is_the_quality_with_noise():
    rating = WORLD.features.item_numeric[:, WORLD.features.numeric_names.index("rating")]
    found = np.corrcoef(rating, TRAITS["quality"])[0, 1]
    assert abs(np.arctanh(found) - np.arctanh(1 / np.sqrt(1.25))) < 5.2 / np.sqrt(3000)


def test_worth_is_with_styles():
    by_style = np.array([TRAITS["worth"][TRAITS["style"] == s].mean() for s in range(10)])
    rest = TRAITS["worth"] - by_style[TRAITS["style"].astype(int)]
    assert abs(rest.std() / (0.25 * 0.5) - 1) < 5.2 / np.sqrt(2 * 3000)
    assert by_style.std() > rest.std()
    plain = generate_world(dataclasses.replace(SPEC, style_worth=0.0))
    assert not plain.simulator.item_traits[:, 3].any()


def test_prices_and_margins():
    features = WORLD.features
    np.testing.assert_allclose(np.log(features.price), 3.0 + 0.6 * TRAITS["price"], atol=6e-3)
    assert abs(np.log(features.price).std() / 0.6 - 1) < 5.2 / np.sqrt(2 * 3000)
    assert ((features.margin >= 0.1) & (features.margin <= 0.5)).all()
    assert abs(features.margin.mean() - 0.3) < 5.2 * 0.4 / np.sqrt(12 * 3000)


def test_public_columns_are_standardised():
    numeric = WORLD.features.item_numeric
    assert WORLD.features.numeric_names == ("log_price", "popularity", "rating")
    np.testing.assert_allclose(numeric[:, 1:].mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(numeric[:, 1:].std(axis=0), 1, atol=1e-5)


def test_popularity_follows_the_lure():
    lured = generate_world(dataclasses.replace(SPEC, shopper=Shopper(lure_fit=1.0)))
    rate = np.log(lured.features.popularity)
    assert np.corrcoef(rate, lured.simulator.item_traits[:, 1])[0, 1] > 0.9
    assert abs(np.corrcoef(np.log(WORLD.features.popularity), TRAITS["lure"])[0, 1]) < 0.1


WEEKLY = ShopSpec(
    n_items=1500, n_queries=40, n_candidates=20, fresh_items=True, shopper=Shopper(n_weeks=4, lure_fit=0.5)
)


def test_a_week_offers_what_has_arrived_and_new_items_are_unknown():
    world = generate_world(WEEKLY)
    names = world.features.numeric_names
    numeric = dict(zip(names, world.features.item_numeric.T, strict=True))
    arrival = np.round(numeric["arrival"] * 4 + 2).astype(int)  # < 0: there from the start
    assert set(np.unique(arrival)) == set(range(-4, 4))
    week = np.arange(40) // 10
    assert (arrival[world.candidates.items] <= week[:, None]).all()
    late = world.candidates.items[week == 3]
    assert (arrival[late] == 3).any()
    new = arrival >= 0
    assert abs(new.mean() - 0.5) < 5.2 * 0.5 / np.sqrt(1500)
    for column in ("popularity", "rating"):
        assert np.unique(numeric[column][new]).size == 1  # all alike, and as the average
        assert abs(numeric[column][new][0]) < 0.1
        assert np.unique(numeric[column][~new]).size > 500


def test_each_week_asks_for_the_same_topics():
    world = generate_world(WEEKLY)
    words = [text.split(" #")[0] for text in world.queries]
    assert words[:10] == words[10:20] == words[30:]


def test_brands_and_sponsors():
    assert WORLD.brand is None
    assert WORLD.sponsored is None
    world = generate_world(dataclasses.replace(SPEC, n_brands=12, sponsored_share=0.2))
    assert set(np.unique(world.brand)) == set(range(12))
    assert abs(world.sponsored.mean() - 0.2) < 5.2 * 0.4 / np.sqrt(3000)


def test_titles_are_a_sequence():
    titles = WORLD.titles
    assert isinstance(titles, Titles)
    assert len(titles) == 3000
    assert titles[-1] == titles[2999] == list(titles)[2999]
    assert titles[5:8] == [titles[5], titles[6], titles[7]]
    assert titles[7].endswith(" 7")
    assert titles[7] in titles
    with pytest.raises(IndexError):
        titles[3000]


def test_large_catalogues_get_topics_enough_to_find_candidates_fast():
    world = generate_world(ShopSpec(n_items=30_000, n_queries=20, n_candidates=50, n_topics=2, width=8))
    assert world.candidates.items.shape == (20, 50)
    assert len(world.titles) == 30_000


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"n_candidates": 0}, "n_candidates"),
        ({"n_candidates": 4000}, "n_candidates"),
        ({"n_candidates": 400}, "n_candidates"),  # more than a topic of a large catalogue has
        ({"n_queries": 0}, "n_queries"),
        ({"width": 7}, "width"),
        ({"n_styles": 0}, "n_styles"),
        ({"n_topics": 0}, "n_topics"),
        ({"lure_quality": 1.5}, "lure_quality"),
        ({"style_share": -0.1}, "style_share"),
        ({"sponsored_share": 2.0}, "sponsored_share"),
        ({"price_spread": -1.0}, "price_spread"),
        ({"noise": -1.0}, "noise"),
        ({"rating_noise": float("nan")}, "rating_noise"),
        ({"style_worth": -0.5}, "style_worth"),
        ({"margin": (0.5, 0.1)}, "margin"),
        ({"n_brands": -1}, "n_brands"),
        ({"seed": -1}, "seed"),
        ({"seed": 1.5}, "seed"),
        ({"seed": "today"}, "seed"),
        ({"n_items": 300.5}, "n_items"),
        ({"n_items": "many"}, "n_items"),
        ({"width": 8.0}, "width"),
        ({"n_brands": 1.5}, "n_brands"),
        ({"price_spread": 1e3}, "price_spread"),
        ({"noise": float("inf")}, "noise"),
        ({"rating_noise": float("inf")}, "rating_noise"),
        ({"margin": 0.3}, "margin"),
        ({"margin": (float("nan"), 0.5)}, "margin"),
        ({"shopper": None}, "shopper"),
        ({"shopper": Shopper(query_fit=float("inf"))}, "query_fit"),
        ({"shopper": Shopper(n_weeks=7)}, "n_weeks"),
        ({"shopper": Shopper(n_weeks=0)}, "n_weeks"),
    ],
)
def test_impossible_shops_are_named(change, named):
    with pytest.raises(InputError) as caught:
        generate_world(dataclasses.replace(SPEC, **change))
    assert named in f"{caught.value.what} {caught.value.where}"
