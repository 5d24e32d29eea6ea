"""Single-impression estimators by name, on a log and a policy: the whole way from steps to figures."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest
from numpy.typing import NDArray

from agents.base import Draw, Policy, SlatePropensity
from behavior.errors import InputError
from behavior.steps import LoggedSteps, SessionEnd
from envs.observation import Observation
from evaluation.estimators.impressions import GRID, slot_distribution
from evaluation.estimators.registry import entry_of, fitting
from evaluation.evidence import Evidence, gather_evidence
from simulators.base import SessionState

N_ITEMS, K = 4, 2
PAYS = np.array([[0.1, 0.2, 0.3, 0.5], [0.05, 0.1, 0.15, 0.25]])  # by slot and item
SHOWS = np.array([[0.5, 0.2, 0.2, 0.1], [0.25, 0.25, 0.25, 0.25]])
JUDGED = np.array([[0.1, 0.2, 0.3, 0.4], [0.4, 0.3, 0.2, 0.1]])
TRUTH = float((JUDGED * PAYS).sum() / K)
NAMES = ("cressie_read", "clipped_ips", "dm", "dr", "sndr", "dros")


class SlotTable(Policy):
    """Each slot's item is drawn from that slot's own distribution, whatever the other slots show."""

    name = "slots"

    def rank(
        self, observation: Observation, draw: Draw, *, slate_size: int, state: SessionState | None = None
    ) -> NDArray[np.int64]:
        return np.tile(np.arange(slate_size), (observation.candidates.shape[0], 1))

    def propensity(self, observation: Observation, actions: NDArray[np.int64]) -> SlatePropensity | None:
        items = np.take_along_axis(observation.candidates, actions, axis=1)
        item = JUDGED[np.arange(K), items]
        return SlatePropensity(item=item, cascade=np.cumprod(item, axis=1), slate=item.prod(axis=1))


def evidence_of(m: int, seed: int = 0, *, context: NDArray[np.float32] | None = None) -> Evidence:
    rng = np.random.default_rng(seed)
    one = np.arange(m)
    slot = rng.integers(0, K, m)
    shown = (np.cumsum(SHOWS[slot], axis=1) <= rng.random(m)[:, None]).sum(axis=1)
    item, click = np.full((m, K), -1, np.int32), np.zeros((m, K), np.uint8)
    item[one, slot] = shown
    click[one, slot] = rng.random(m) < PAYS[slot, shown]
    propensity = np.full((m, K), np.nan)
    propensity[one, slot] = SHOWS[slot, shown]
    # Candidates in another order on every page, with one that is padding.
    candidates = np.concatenate(
        [rng.permuted(np.tile(np.arange(N_ITEMS), (m, 1)), axis=1), np.full((m, 1), -1)], axis=1
    ).astype(np.int32)
    known = np.zeros((m, 0), np.float32) if context is None else context
    steps = LoggedSteps(
        session=one,
        user=one // 3,
        step=np.zeros(m, np.int32),
        query=np.zeros(m, np.int32),
        timestamp=one.astype(np.int64),
        item=item,
        click=click,
        purchase=np.zeros_like(click),
        candidates=candidates,
        propensity=propensity,
        cascade_propensity=np.full((m, K), np.nan),
        slate_propensity=np.full(m, np.nan),
        session_end=np.full(m, SessionEnd.UNKNOWN, np.int8),
        context=known,
        context_names=tuple(f"c{i}" for i in range(known.shape[1])),
        queries=("",),
        single_impressions=True,
    )
    observation = Observation(
        query=np.zeros((m, 1), np.int32),
        context=known,
        candidates=candidates,
        scores=np.zeros(candidates.shape, np.float32),
        seen=np.zeros(candidates.shape, np.float32),
        last_slate=np.full((m, K), -1, np.int32),
        last_click=np.zeros((m, K), np.float32),
        last_purchase=np.zeros((m, K), np.float32),
        clicked=np.full((m, K), -1, np.int32),
        progress=np.zeros((m, 4), np.float32),
    )
    found = gather_evidence(SlotTable(), steps, observation, progress=False)
    assert isinstance(found, Evidence)
    return found


def test_the_policy_is_asked_for_every_candidate() -> None:
    evidence = evidence_of(200)
    chances = slot_distribution(evidence, batch=64)
    slot = (evidence.steps.item >= 0).argmax(axis=1)
    candidates = evidence.observation.candidates
    wanted = np.where(candidates >= 0, JUDGED[slot[:, None], np.maximum(candidates, 0)], 0.0)
    assert chances == pytest.approx(wanted, abs=1e-15)


def test_every_one_finds_the_truth() -> None:
    evidence = evidence_of(8_000, seed=1)
    assert {entry.name for entry in fitting(evidence, NAMES)} == set(NAMES)
    # None of them is used unasked: they fit a model, or are biased by design.
    assert not set(NAMES) & {entry.name for entry in fitting(evidence)}
    plain = entry_of("ips").call(evidence)
    for name in NAMES:
        found = entry_of(name).call(evidence)
        assert found.terms.shape == (8_000,), name
        # The model adds slot and item, which is nearly how clicks are made: what bias is left is small.
        assert abs(found.value - TRUTH) < 4 * found.standard_error + 0.01, name
        # Whatever it makes of the weights, it is believed by the overlap of log and policy.
        assert (found.ess, found.mean_weight) == pytest.approx((plain.ess, plain.mean_weight), rel=1e-12)
        assert found.value == pytest.approx(found.terms.mean(), abs=1e-12)
    assert entry_of("dr").call(evidence).standard_error < plain.standard_error


def test_the_chosen_level_is_said() -> None:
    evidence = evidence_of(600)
    for name in ("clipped_ips", "dros"):
        found = entry_of(name).call(evidence)
        level = re.fullmatch(r"[\w -]+ at ([\w.]+)(, the (least|largest) tried)?", found.name)
        assert level is not None, found.name
        assert float(level[1]) in GRID
        if name == "dros":  # with a model as good as this one, hardly any weight is wanted
            assert level[3] == "least"


def test_the_model_is_fitted_once_and_to_other_users() -> None:
    evidence = evidence_of(600)
    assert evidence.model_values is evidence.model_values
    # A user whose rewards change, changes no prediction of theirs.
    steps = evidence.steps
    mine = np.flatnonzero(steps.user == 7)
    before = evidence.model_values.q_logged[mine]
    evidence.slates.reward[mine] = 1 - evidence.slates.reward[mine]
    again = Evidence(
        steps=steps, observation=evidence.observation, slates=evidence.slates, policy=evidence.policy
    )
    assert np.array_equal(again.model_values.q_logged[mine], before)
    assert not np.array_equal(again.model_values.q_logged, evidence.model_values.q_logged)


def test_unknown_context_is_a_column_of_its_own() -> None:
    rng = np.random.default_rng(0)
    context = rng.normal(size=(300, 2)).astype(np.float32)
    context[::7, 1] = np.nan
    values = evidence_of(300, context=context).model_values
    assert np.isfinite(values.q_policy).all()


def test_pages_are_refused() -> None:
    evidence = evidence_of(50)
    pages = Evidence(
        steps=dataclasses.replace(evidence.steps, single_impressions=False),
        observation=evidence.observation,
        slates=evidence.slates,
        policy=evidence.policy,
    )
    with pytest.raises(InputError, match="the log holds pages"):
        entry_of("dr").call(pages)
