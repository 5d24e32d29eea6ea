"""The record of a session and the feature rows, against plain Python."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest

from simulators.composed import ComposedSimulator
from simulators.example import example_candidates, example_features, example_log, example_simulator
from simulators.fidelity import replay_logits
from simulators.fitting.replay import latest_sessions, replay, walk
from simulators.kernels.session import N_FIXED
from simulators.parts import Layout, OnePage, PositionExamination
from simulators.parts.rows import impression_names, make_impression_rows
from simulators.rollout import RandomPages, simulate_steps

FEATURES = example_features()


def _slow_row(
    past: list[tuple], item: int, query: int, step: int, context: np.ndarray, ring: int
) -> np.ndarray:
    """The row of one item, from the list of (item, click, purchase) shown before, page by page."""
    f = FEATURES
    flat = [entry for page in past for entry in page]
    v = f.item_vectors.astype(np.float64)
    clicked = [i for i, c, _ in flat if c]
    ignored = [i for i, c, _ in flat if not c]
    recent = flat[-ring:]
    same = [e for e in recent if f.item_category[e[0]] == f.item_category[item]]
    dry = 0
    for page in past:
        dry = 0 if any(c for _, c, _ in page) else dry + 1
    r = f.relevance
    fixed = [
        1.0,
        r.item[item] @ r.click_query[query] + r.click_bias,
        r.item[item] @ r.purchase_query[query] + r.purchase_bias,
        v[item] @ v[clicked].mean(0) if clicked else 0.0,
        v[item] @ v[ignored].mean(0) if ignored else 0.0,
        np.log1p(sum(i == item for i, _, _ in recent)),
        float(any(i == item and c for i, c, _ in recent)),
        float(any(i == item and b for i, _, b in recent)),
        np.log1p(len(same)),
        np.log1p(sum(c for _, c, _ in same)),
        np.log1p(len(clicked)),
        np.log1p(sum(b for _, _, b in flat)),
        np.log1p(dry),
        np.log1p(step),
    ]
    assert len(fixed) == N_FIXED
    cross = np.outer(context, f.item_numeric[item]).ravel()
    match = f.item_vectors[item] * f.query_vectors[query]
    return np.concatenate([fixed, f.item_numeric[item], context, cross, match])


@pytest.mark.parametrize("ring", [64, 7])
def test_rows_of_a_replayed_log_against_plain_python(ring: int) -> None:
    log = example_log(n_sessions=30, seed=5)
    seen = replay(FEATURES, log, ring=ring)
    past: list[list[tuple]] = []
    at = 0
    for m in range(log.n_steps):
        if m == 0 or log.session[m] != log.session[m - 1]:
            past = []
        for k in range(log.slate_size):
            item = int(log.item[m, k])
            expected = _slow_row(past, item, int(log.query[m]), len(past), log.context[m], ring)
            np.testing.assert_allclose(seen.rows[at], expected, atol=2e-5, err_msg=f"page {m}, position {k}")
            at += 1
        past.append(
            list(zip(log.item[m].tolist(), log.click[m].tolist(), log.purchase[m].tolist(), strict=True))
        )
    assert at == len(seen.rows)
    assert seen.rows.shape[1] == len(impression_names(FEATURES, log.context_names))


def test_the_fit_sees_what_the_simulator_sees() -> None:
    """Rows and logits of a simulated session are the same bits when its log is replayed."""
    simulator = example_simulator()
    source = RandomPages(example_candidates(FEATURES), 5)
    log = simulate_steps(simulator, source, n_sessions=100, max_steps=6, seed=9)
    seen = replay(FEATURES, log, ring=simulator.ring)
    logits = replay_logits(simulator, log)
    state = simulator.begin(np.arange(100), seed=9)
    for step in range(6):
        rows = np.flatnonzero(log.step == step)
        alive = log.session[rows]
        state_now = state.take(alive)
        items = log.item[rows]
        live = make_impression_rows(simulator.memory, state_now, items, seen.rows.shape[1])
        flat = (rows[:, None] * 5 + np.arange(5)).ravel()
        np.testing.assert_array_equal(live.reshape(-1, live.shape[2]), seen.rows[flat])
        np.testing.assert_array_equal(
            simulator.attractiveness.logits(state_now, simulator.memory, items), logits[rows]
        )
        feedback = simulator.respond(state_now, items, seed=9)
        np.testing.assert_array_equal(feedback.click, log.click[rows])
        state.put(alive, state_now)


def test_one_part_replaced_changes_only_its_share() -> None:
    base = example_simulator()
    parts = {
        name: getattr(base, name)
        for name in ("population", "attractiveness", "examination", "conversion", "dynamics", "features")
    }
    blind = ComposedSimulator(
        **parts | {"examination": PositionExamination(gamma=np.array([1.0, 0, 0, 0, 0]))}
    )
    brief = ComposedSimulator(**parts | {"dynamics": OnePage()})
    users = np.arange(300)
    slates = np.tile(np.arange(5, dtype=np.int32), (300, 1))
    answers = [s.respond(s.begin(users, seed=1), slates, seed=1) for s in (base, blind, brief)]
    assert not answers[1].click[:, 1:].any()
    np.testing.assert_array_equal(answers[1].click[:, 0], answers[0].click[:, 0])
    np.testing.assert_array_equal(answers[2].click, answers[0].click)
    assert answers[2].left.all()
    assert not answers[0].left.all()


def test_queries_follow_the_stated_law() -> None:
    simulator = example_simulator()
    dynamics = simulator.dynamics
    n, q = 40_000, 3
    state = simulator.begin(np.arange(n), seed=2)
    state.query[:] = q
    none = np.zeros((n, 5), np.uint8)
    slates = np.tile(np.arange(5, dtype=np.int32), (n, 1))
    dynamics.advance(state, simulator.memory, slates, none, none, seed=2)
    everywhere = np.arange(FEATURES.n_queries, dtype=np.int32)
    law = dynamics.transition_probability(
        np.full_like(everywhere, q), everywhere, np.zeros(len(everywhere), int)
    )
    assert law.sum() == pytest.approx(1.0, abs=1e-9)
    count = np.bincount(state.query, minlength=len(everywhere))
    chi_square = ((count - n * law) ** 2 / (n * law)).sum()
    assert chi_square < 67.0  # fixed seed; 19 degrees of freedom, one in 3e7


def test_layout_refuses_a_name_twice() -> None:
    layout = Layout({"a": 2, "b": 3})
    assert (layout.width, layout.start("b")) == (5, 2)
    hidden = np.zeros((2, 5), np.float32)
    layout.of(hidden, "b")[:] = 1
    assert hidden.sum() == 6
    with pytest.raises(ValueError, match="rename"):
        Layout.join({"a": 1}, {"a": 2})


def test_too_long_a_slate_is_refused() -> None:
    simulator = example_simulator()
    with pytest.raises(ValueError, match="slate of 6"):
        simulator.respond(simulator.begin(np.arange(2), seed=0), np.zeros((2, 6), np.int32), seed=0)


def test_walk_and_latest_sessions() -> None:
    log = example_log(n_sessions=50)
    batches = walk(log)
    assert np.array_equal(np.sort(np.concatenate(batches)), np.arange(log.n_steps))
    for before, after in itertools.pairwise(batches):
        np.testing.assert_array_equal(before[: len(after)] + 1, after)
        np.testing.assert_array_equal(log.session[before[: len(after)]], log.session[after])
    part = latest_sessions(log, 200)
    assert part.item.size <= 200
    assert part.session[-1] == log.session[-1]
    first = part.session[0]
    assert (log.session == first).sum() == (part.session == first).sum()
    assert latest_sessions(log, 1).n_sessions == 1
    assert dataclasses.asdict(latest_sessions(log, 10**9))["session"].shape == log.session.shape
