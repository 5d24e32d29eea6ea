"""The same pages for simulated users: what is drawn has the stated law, and what is shown is the log's."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from simulators.base import Feedback, SessionState
from simulators.composed import ComposedSimulator
from simulators.example import example_features, example_log, example_simulator
from simulators.fidelity import replay_logits
from simulators.parts.attractiveness import LinearAttractiveness
from simulators.trust.redraw import members_of, redraw_pages, redraw_sessions, why_no_redraw

LOG = example_log(n_sessions=40, seed=3)
PARTS = ("features", "population", "attractiveness", "examination", "conversion", "dynamics", "slate_size")


def test_pages_are_answered_after_their_logged_past() -> None:
    simulator = example_simulator()
    n = 300
    found = redraw_pages(simulator, LOG, replicates=n, seed=5)
    assert (found.answers.item.reshape(n, *LOG.item.shape) == LOG.item).all()
    assert (found.answers.session.reshape(n, -1) == LOG.session).all()
    logits = replay_logits(simulator, LOG)
    assert found.before == pytest.approx(simulator.examination.click_probability(logits))
    given = simulator.examination.click_probability_given_above(logits, LOG.click)
    assert found.given_above == pytest.approx(given)
    click = found.answers.click.reshape(n, *LOG.item.shape)
    z = (click.mean(axis=0) - found.before) / np.sqrt(found.before * (1 - found.before) / n)
    assert abs(z).max() < 5
    assert z.std() == pytest.approx(1.0, abs=0.15)
    bought, clicks = found.answers.purchase.reshape(click.shape).sum(axis=0), click.sum(axis=0)
    expected = found.purchase * clicks
    z = (bought - expected) / np.sqrt(np.maximum(expected * (1 - found.purchase), 1e-9))
    assert abs(z[clicks > 30]).max() < 5
    assert not (found.answers.purchase > found.answers.click).any()
    again = redraw_pages(simulator, LOG, replicates=2, seed=5)
    assert (again.answers.click == found.answers.click[: 2 * LOG.n_steps]).all()


def test_users_start_like_logged_ones_and_see_their_pages() -> None:
    simulated = redraw_sessions(example_simulator(), LOG, replicates=3, seed=1)
    first = np.flatnonzero(LOG.step == 0)
    length = np.diff(np.append(first, LOG.n_steps))
    assert simulated.n_sessions == 120
    same = 0
    for s in range(120):
        mine = np.flatnonzero(simulated.session == s)
        like = first[s % 40]
        assert simulated.query[mine[0]] == LOG.query[like]
        assert (simulated.context[mine[0]] == LOG.context[like]).all()
        assert (simulated.item[mine[0]] == LOG.item[like]).all()
        for t, row in enumerate(mine[: length[s % 40]]):
            if simulated.query[row] == LOG.query[like + t]:
                same += t > 0
                assert (simulated.item[row] == LOG.item[like + t]).all()
    assert same > 20
    logged = {(q, *page) for q, page in zip(LOG.query.tolist(), LOG.item.tolist(), strict=True)}
    issued = set(LOG.query.tolist())
    shown = zip(simulated.query.tolist(), simulated.item.tolist(), strict=True)
    assert all((q, *page) in logged for q, page in shown if q in issued)


class _Opaque:
    """Users of whom nothing but their answers is known."""

    def __init__(self) -> None:
        self.inside = example_simulator()
        self.n_items, self.n_queries = self.inside.n_items, self.inside.n_queries
        self.context_size, self.slate_size = self.inside.context_size, self.inside.slate_size

    def begin(self, users: np.ndarray, *, seed: int) -> SessionState:
        return self.inside.begin(users, seed=seed)

    def respond(self, state: SessionState, slates: np.ndarray, *, seed: int) -> Feedback:
        return self.inside.respond(state, slates, seed=seed)


class _Moody(LinearAttractiveness):
    @property
    def columns(self) -> Mapping[str, int]:
        return {"mood": 1}


def test_what_cannot_be_told_the_past_is_named() -> None:
    assert why_no_redraw(example_simulator()) == ""
    assert "tells no probabilities" in why_no_redraw(_Opaque())
    base = example_simulator()
    moody = ComposedSimulator(
        **{name: getattr(base, name) for name in PARTS}
        | {"attractiveness": _Moody(**vars(base.attractiveness))}
    )
    assert why_no_redraw(moody).startswith("_Moody keeps something")
    own = redraw_sessions(_Opaque(), LOG, replicates=1, seed=0)
    begun = base.begin(np.arange(40), seed=0)
    assert (own.query[own.step == 0] == begun.query).all()


def test_an_ensemble_answers_with_each_member_in_turn() -> None:
    class _Both(_Opaque):
        features = example_features()
        members = (example_simulator(features=features), example_simulator("cascade", features=features))

    both = _Both()
    assert members_of(both) == both.members
    found = redraw_pages(both, LOG, replicates=2, seed=7)
    alone = [redraw_pages(m, LOG, replicates=2, seed=7) for m in both.members]
    n = LOG.n_steps
    assert (found.answers.click[:n] == alone[0].answers.click[:n]).all()
    assert (found.answers.click[n:] == alone[1].answers.click[n:]).all()
    assert found.before == pytest.approx((alone[0].before + alone[1].before) / 2)
