"""Effects of queries and pairs, and what pages promised: a fit must see of them what the simulator will see."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from encoders.features import FeatureTables
from encoders.pair_table import PairTable
from simulators.composed import ComposedSimulator
from simulators.example import example_candidates, example_features, example_log, example_simulator
from simulators.fitting.config import FitConfig
from simulators.fitting.effects import QueryEffects
from simulators.fitting.fit import fit_simulator
from simulators.fitting.likelihood import Parameters
from simulators.fitting.replay import replay, with_promise
from simulators.kernels.session import N_PAGE_FIXED, N_PROMISE
from simulators.parts.attractiveness import LinearAttractiveness
from simulators.parts.rows import impression_names, make_impression_rows, make_page_rows, page_names
from simulators.rollout import RandomPages, simulate_steps
from simulators.storage import load_simulator, save_simulator


def with_pairs(features: FeatureTables, share: float = 0.4) -> FeatureTables:
    rng = np.random.default_rng(3)
    size = features.n_queries * features.n_items
    key = np.flatnonzero(rng.random(size) < share)
    pairs = PairTable(
        start=np.searchsorted(key // features.n_items, np.arange(features.n_queries + 1)),
        item=(key % features.n_items).astype(np.int32),
        values=rng.normal(size=(len(key), 6)).astype(np.float32),
        default=np.zeros(6, np.float32),
    )
    return dataclasses.replace(features, pairs=pairs)


FEATURES = with_pairs(example_features())


def test_groups_and_their_biases() -> None:
    query, item = np.array([0, 0, 1, 1, -1]), np.array([2, 2, 3, 4, 5])
    effects = QueryEffects(FEATURES, query, item)
    found = {effect.name: effect for effect in effects.of(query, item)}
    assert {"query", "kind"} <= set(found)
    assert found["query"].index.tolist() == [0, 0, 1, 1, -1]
    assert found["query"].size == 2
    held = {effect.name: effect for effect in effects.of(np.array([1, 2]), np.array([3, 3]))}
    assert held["query"].index.tolist() == [1, -1]  # query 2 was not there when it was fitted
    assert held["query"].of(np.array([0.5, -0.5])).tolist() == [-0.5, 0.0]
    empty = np.empty(0)
    p = Parameters(
        weights=empty, category_bias=empty, item_bias=empty, first=empty, second=empty,
        more={"query": np.array([0.5, -0.5])},
    )  # fmt: skip
    biases = effects.biases(p)
    assert biases["query_bias"][:3].tolist() == [0.5, -0.5, 0.0]
    assert not biases["kind_bias"].any()
    assert len(biases["kind_bias"]) == FEATURES.n_queries * FEATURES.n_categories


def test_logits_are_rows_and_biases(tmp_path: Path) -> None:
    """Each bias reaches exactly its own items, in kernels as on disk."""
    rng = np.random.default_rng(0)
    base = example_simulator(features=FEATURES)
    assert FEATURES.pairs is not None
    assert isinstance(base.attractiveness, LinearAttractiveness)
    part = dataclasses.replace(
        base.attractiveness,
        query_bias=rng.normal(size=FEATURES.n_queries).astype(np.float32),
        kind_bias=rng.normal(size=FEATURES.n_queries * FEATURES.n_categories).astype(np.float32),
        pair_bias=rng.normal(size=FEATURES.pairs.n_pairs).astype(np.float32),
        query_taste=rng.normal(size=FEATURES.query_vectors.shape).astype(np.float32),
    )
    parts = {n: getattr(base, n) for n in ("population", "examination", "conversion", "dynamics")}
    simulator = ComposedSimulator(features=FEATURES, attractiveness=part, **parts)
    state = simulator.begin(np.arange(40), seed=1)
    items = rng.integers(0, FEATURES.n_items, (40, 7)).astype(np.int32)
    items[:, -1] = -1
    rows = make_impression_rows(simulator.memory, state, items, len(part.weights)).astype(np.float64)
    category = FEATURES.item_category[items]
    pair = FEATURES.pairs.find(np.repeat(state.query, 7), items.ravel()).reshape(items.shape)
    expected = (
        rows @ part.weights
        + part.category_bias[category]
        + part.item_bias[items]
        + part.query_bias[state.query][:, None]
        + part.kind_bias[state.query[:, None] * FEATURES.n_categories + category]
        + np.append(part.pair_bias, 0.0)[pair]
        + np.einsum("bd,bmd->bm", part.query_taste[state.query], FEATURES.item_vectors[items])
    )
    found = simulator.attractiveness.logits(state, simulator.memory, items)
    np.testing.assert_allclose(found[:, :-1], expected[:, :-1], atol=1e-5)
    assert (found[:, -1] == -np.inf).all()
    save_simulator(simulator, tmp_path / "saved")
    again = load_simulator(tmp_path / "saved")
    assert isinstance(again, ComposedSimulator)
    np.testing.assert_array_equal(again.attractiveness.logits(state, again.memory, items), found)


def test_a_fit_sees_the_promise_that_the_simulator_sees() -> None:
    simulator = example_simulator(features=FEATURES)
    source = RandomPages(example_candidates(FEATURES), 5)
    log = simulate_steps(simulator, source, n_sessions=60, max_steps=5, seed=9)
    n_columns = len(page_names(FEATURES, log.context_names))
    logits, chance = np.zeros(log.item.shape), np.zeros(log.item.shape)
    live = np.empty((log.n_steps, n_columns), np.float32)
    state = simulator.begin(np.arange(60), seed=9)
    for step in range(5):
        rows = np.flatnonzero(log.step == step)
        now = state.take(log.session[rows])
        items, click = log.item[rows], log.click[rows]
        logits[rows] = simulator.attractiveness.logits(now, simulator.memory, items)
        chance[rows] = simulator.conversion.probability(now, simulator.memory, items)
        noted = now.copy()
        simulator.memory.note_promise(noted, items, logits[rows], click, chance[rows])
        live[rows] = make_page_rows(simulator.memory, noted, items, click, log.purchase[rows], n_columns)
        simulator.respond(now, items, seed=9)
        state.put(log.session[rows], now)
    seen = with_promise(replay(FEATURES, log, ring=simulator.ring), FEATURES, log, logits, chance)
    np.testing.assert_array_equal(seen.page_rows, live)
    # By hand, the first page of the longest session: the logit of its mean appeal; nothing came before.
    first = int(np.flatnonzero(log.step == 4)[0]) - 4
    promise = seen.page_rows[first, N_PAGE_FIXED - N_PROMISE : N_PAGE_FIXED]
    mean = (1 / (1 + np.exp(-logits[first]))).mean()
    hope = (chance[first] * log.click[first]).sum()
    np.testing.assert_allclose(promise, [np.log(mean / (1 - mean)), hope, 0.0, 0.0], rtol=1e-5)
    second = seen.page_rows[first + 1, N_PAGE_FIXED - N_PROMISE : N_PAGE_FIXED]
    np.testing.assert_allclose(second[2:], [promise[0] + 1.7, promise[1]], rtol=1e-5)


def test_pair_effects_are_found_where_clicks_speak_for_them() -> None:
    """Pairs with a taste of their own, which no column tells: the fit foretells them better with its effects."""
    assert FEATURES.pairs is not None
    base = example_simulator(features=FEATURES)
    rng = np.random.default_rng(5)
    own = rng.normal(scale=2.0, size=FEATURES.pairs.n_pairs).astype(np.float32)
    assert isinstance(base.attractiveness, LinearAttractiveness)
    part = dataclasses.replace(base.attractiveness, pair_bias=own)
    parts = {n: getattr(base, n) for n in ("population", "examination", "conversion", "dynamics")}
    truth = ComposedSimulator(features=FEATURES, attractiveness=part, **parts)
    source = RandomPages(example_candidates(FEATURES, 12), 5)
    log = simulate_steps(truth, source, n_sessions=1_500, max_steps=6, seed=2)
    held = simulate_steps(truth, source, n_sessions=300, max_steps=6, seed=3, first_user=5_000)
    found = fit_simulator("pbm", log, held, FEATURES, FitConfig(strengths=(300.0, 30.0)), progress=False)
    shown = np.bincount(FEATURES.pairs.find(np.repeat(log.query, 5), log.item.ravel()) + 1)[1:]
    often = np.flatnonzero(shown >= 40)
    assert len(often) >= 30
    assert isinstance(found.attractiveness, LinearAttractiveness)
    fitted = found.attractiveness.pair_bias[often]
    assert np.corrcoef(fitted, own[often])[0, 1] > 0.6
    plain = fit_simulator(
        "pbm", log, held, example_features(), FitConfig(strengths=(300.0, 30.0)), progress=False
    )
    gain = found.report.scores[0].value - plain.report.scores[0].value
    assert gain > 0.004  # log-likelihood of a held-out page; the queries' own vectors take a part of it


def test_what_is_clicked_for_a_query_tells_of_items_like_it() -> None:
    """Each query means a direction that neither its words nor categories tell: seen on half of the items, it holds for
    the others. What the fit adds to logits is what the simulator adds."""
    base = example_simulator(features=FEATURES)
    rng = np.random.default_rng(6)
    assert isinstance(base.attractiveness, LinearAttractiveness)
    own = np.zeros(FEATURES.query_vectors.shape, np.float32)
    own[:, :2] = rng.normal(scale=4.0, size=(FEATURES.n_queries, 2))
    part = dataclasses.replace(base.attractiveness, query_taste=own)
    parts = {n: getattr(base, n) for n in ("population", "examination", "conversion", "dynamics")}
    truth = ComposedSimulator(features=FEATURES, attractiveness=part, **parts)
    table = example_candidates(FEATURES, FEATURES.n_items)
    half = np.stack([row[row % 2 == 0] for row in table])
    log = simulate_steps(truth, RandomPages(half, 5), n_sessions=2_000, max_steps=6, seed=2)
    held = simulate_steps(truth, RandomPages(half, 5), n_sessions=300, max_steps=6, seed=3, first_user=9_000)
    found = fit_simulator("pbm", log, held, FEATURES, FitConfig(strengths=(300.0, 30.0)), progress=False)
    assert isinstance(found.attractiveness, LinearAttractiveness)

    open_prior = found.report.strengths["queries' vectors"]
    closed = fit_simulator(
        "pbm",
        example_log(n_sessions=2_000),
        held,
        FEATURES,
        FitConfig(strengths=(300.0, 30.0)),
        progress=False,
    )
    # Where queries mean what their words say the prior closes; here it has no reason to.
    assert closed.report.strengths["queries' vectors"] > 5 * open_prior

    query = np.arange(FEATURES.n_queries)
    never = np.arange(1, FEATURES.n_items, 2)
    assert not np.isin(log.item, never).any()
    item_vectors = FEATURES.item_vectors[never]
    told = found.attractiveness.query_taste @ item_vectors.T + found.attractiveness.query_bias[:, None]
    meant = own @ item_vectors.T
    asked = np.bincount(log.query[log.query >= 0], minlength=len(query)) >= 100
    assert asked.sum() >= 5
    within = [np.corrcoef(told[q], meant[q])[0, 1] for q in np.flatnonzero(asked)]
    assert np.mean(within) > 0.7

    effects = QueryEffects(FEATURES, np.repeat(log.query, 5), log.item.ravel())
    at, items = np.repeat(query, len(never)), np.tile(never, len(query))
    p = Parameters(
        weights=np.empty(0), category_bias=np.empty(0), item_bias=np.empty(0), first=np.empty(0), second=np.empty(0),
        more={e.name: rng.normal(size=e.size) for e in effects.of(np.repeat(log.query, 5), log.item.ravel())},
    )  # fmt: skip
    added = sum(
        e.of(p.more[e.name]) for e in effects.of(at, items) if e.name.split()[0] in ("query", "taste")
    )
    biases = effects.biases(p)
    simulated = biases["query_bias"][at] + (biases["query_taste"][at] * FEATURES.item_vectors[items]).sum(
        axis=1
    )
    np.testing.assert_allclose(simulated, added, atol=1e-4)


def test_names_and_columns_agree() -> None:
    simulator = example_simulator(features=FEATURES)
    names = impression_names(FEATURES, ("context 0", "context 1"))
    log = example_log(n_sessions=5)
    assert replay(FEATURES, log, ring=8).rows.shape[1] == len(names)
    assert len(set(names)) == len(names)
    assert isinstance(simulator.attractiveness, LinearAttractiveness)
    assert simulator.attractiveness.weights.shape == (len(names),)
