"""Off-policy evaluation of policies: against the known truth of small worlds, and its refusals."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
from numpy.typing import NDArray

from agents.base import Draw, Policy
from agents.score_policy import ScorePolicy
from behavior.errors import InputError
from behavior.steps import LoggedSteps, SessionEnd
from envs.observation import Observation
from evaluation.logged_actions import logged_positions
from evaluation.off_policy import OffPolicyConfig, evaluate_off_policy
from simulators.base import SessionState

N_ITEMS, K = 5, 2
THETA = np.array([0.9, 0.4])
APPEAL = np.array([0.1, 0.2, 0.3, 0.5, 0.7])


class Fixed(ScorePolicy):
    """Plackett-Luce over one fixed score per item."""

    def __init__(self, scores: NDArray[np.float64], *, temperature: float = 1.0, name: str = "fixed") -> None:
        super().__init__(temperature=temperature)
        self.name, self._scores = name, scores

    def scores(self, observation: Observation) -> NDArray[np.float64]:
        return np.append(self._scores, 0.0)[observation.candidates]


class Silent(Policy):
    """Ranks in source order and cannot say with which probability."""

    name = "silent"

    def rank(
        self, observation: Observation, draw: Draw, *, slate_size: int, state: SessionState | None = None
    ) -> NDArray[np.int64]:
        return np.tile(np.arange(slate_size), (observation.candidates.shape[0], 1))


BEHAVIOUR = Fixed(np.array([0.4, 0.1, 0.0, -0.1, -0.3]))
BETTER = Fixed(np.array([-1.0, -0.5, 0.0, 0.5, 1.0]), name="better")


def observe(candidates: NDArray[np.int32]) -> Observation:
    m, n = candidates.shape
    none = np.full((m, K), -1, np.int32)
    return Observation(
        query=np.zeros((m, 1), np.int32),
        context=np.zeros((m, 0), np.float32),
        candidates=candidates,
        scores=np.zeros((m, n), np.float32),
        seen=np.zeros((m, n), np.float32),
        last_slate=none,
        last_click=np.zeros((m, K), np.float32),
        last_purchase=np.zeros((m, K), np.float32),
        clicked=none,
        progress=np.zeros((m, 4), np.float32),
    )


def steps_from(
    item: NDArray[np.int32],
    click: NDArray[np.uint8],
    purchase: NDArray[np.uint8],
    propensity: NDArray[np.float64],
    candidates: NDArray[np.int32],
    session: NDArray[np.int64],
    *,
    single: bool = False,
) -> LoggedSteps:
    m = item.shape[0]
    return LoggedSteps(
        session=session,
        user=session,
        step=np.zeros(m, np.int32),
        query=np.zeros(m, np.int32),
        timestamp=np.arange(m, dtype=np.int64),
        item=item,
        click=click,
        purchase=purchase,
        candidates=candidates,
        propensity=propensity,
        cascade_propensity=np.full(item.shape, np.nan),
        slate_propensity=np.full(m, np.nan),
        session_end=np.full(m, SessionEnd.UNKNOWN, np.int8),
        context=np.zeros((m, 0), np.float32),
        context_names=(),
        queries=("",),
        single_impressions=single,
    )


def slate_log(m: int, seed: int, behaviour: ScorePolicy = BEHAVIOUR) -> tuple[LoggedSteps, Observation]:
    """Slates of two out of five items by `behaviour`; position-based clicks, purchases on a third of them."""
    rng = np.random.default_rng(seed)
    candidates = np.tile(np.arange(N_ITEMS, dtype=np.int32), (m, 1))
    observation = observe(candidates)
    draw = Draw(seed=seed, user=np.arange(m, dtype=np.int64), step=np.zeros(m, np.int32))
    actions = behaviour.rank(observation, draw, slate_size=K)
    item = np.take_along_axis(candidates, actions, axis=1)
    click = (rng.random((m, K)) < THETA * APPEAL[item]).astype(np.uint8)
    purchase = (click & (rng.random((m, K)) < 1 / 3)).astype(np.uint8)
    propensity = behaviour.propensity(observation, actions).item
    return steps_from(item, click, purchase, propensity, candidates, np.arange(m) // 2), observation


def truth(policy: ScorePolicy, purchase_weight: float = 5.0) -> float:
    """Expected clicks + weight x purchases per slate, by enumeration of all slates."""
    slates = np.array(list(itertools.permutations(range(N_ITEMS), K)), np.int64)
    observation = observe(np.tile(np.arange(N_ITEMS, dtype=np.int32), (slates.shape[0], 1)))
    probability = policy.propensity(observation, slates).slate
    assert probability.sum() == pytest.approx(1)
    return float(probability @ (THETA * APPEAL[slates]).sum(axis=1)) * (1 + purchase_weight / 3)


def test_slates_find_the_truth() -> None:
    steps, observation = slate_log(20_000, seed=3)
    found = evaluate_off_policy(BETTER, steps, observation, progress=False)
    assert found.status == "ok"
    assert found.estimator == "SNIIPS"
    assert found.interval is not None
    assert found.interval.n_clusters == 10_000
    assert abs(found.value - truth(BETTER)) < 4 * found.interval.standard_error
    assert found.interval.half_width < 0.2 * truth(BETTER)
    assert found.mean_weight == pytest.approx(1, abs=0.05)
    assert 500 < found.ess < 20_000
    assert found.lift is not None
    assert found.lift.low > 0
    assert found.lift.value == pytest.approx(truth(BETTER) - truth(BEHAVIOUR), rel=0.2)
    (untested,) = found.warnings  # this log knows the propensities of items alone
    assert "20000 of 20000 pages state no cascade_propensity" in untested


def test_interval_covers_the_truth_over_fresh_logs() -> None:
    held = 0
    for seed in range(200):
        steps, observation = slate_log(400, seed=seed + 1000)
        found = evaluate_off_policy(BETTER, steps, observation, progress=False)
        assert found.interval is not None, found.reason
        held += found.interval.low <= truth(BETTER) <= found.interval.high
    assert 180 <= held <= 198


def test_the_logging_policy_itself_is_worth_the_log() -> None:
    steps, observation = slate_log(500, seed=0)
    found = evaluate_off_policy(
        BEHAVIOUR, steps, observation, config=OffPolicyConfig(purchase_weight=0), progress=False
    )
    assert found.value == pytest.approx(steps.click.sum() / 500, abs=1e-12)
    assert found.ess == pytest.approx(500)
    assert found.max_weight == pytest.approx(1)
    assert found.lift is not None
    assert found.lift.value == pytest.approx(0, abs=1e-12)


def test_no_support_where_the_log_is_too_narrow() -> None:
    narrow = Fixed(np.array([9.0, 8.0, 0.0, 0.0, 0.0]))
    steps, observation = slate_log(3000, seed=1, behaviour=narrow)
    found = evaluate_off_policy(BETTER, steps, observation, progress=False)
    assert found.status == "no support"
    assert found.interval is None
    assert np.isnan(found.value)
    assert "effective" in found.reason or "never" in found.reason


def test_no_support_where_the_log_never_shows_what_the_policy_would() -> None:
    only_first = Fixed(np.array([0.0, 0.0, 0.0, -800.0, -800.0]))  # items 3 and 4 are never shown
    steps, observation = slate_log(4000, seed=1, behaviour=only_first)
    found = evaluate_off_policy(BETTER, steps, observation, progress=False)
    assert found.ess_users > 50
    assert found.status == "no support"
    assert "never shown by the log" in found.reason
    none = evaluate_off_policy(
        Fixed(np.array([0.0, 0.0, 0.0, 9.0, 8.0]), temperature=0), steps, observation, progress=False
    )
    assert none.status == "no support"
    assert none.ess == 0
    assert "never shows" in none.reason


def test_deterministic_policies_are_judged_where_they_overlap() -> None:
    steps, observation = slate_log(20_000, seed=4)
    best = Fixed(APPEAL, temperature=0, name="best")
    found = evaluate_off_policy(best, steps, observation, progress=False)
    exact = float(THETA @ APPEAL[[4, 3]]) * (1 + 5 / 3)
    assert found.interval is not None
    assert abs(found.value - exact) < 4 * found.interval.standard_error


def _with_cascade(steps: LoggedSteps, observation: Observation, click: NDArray[np.uint8]) -> LoggedSteps:
    actions, _ = logged_positions(steps.item, observation.candidates)
    return dataclasses.replace(
        steps,
        click=click,
        purchase=np.zeros_like(click),
        cascade_propensity=BEHAVIOUR.propensity(observation, actions).cascade,
    )


def test_influence_between_items_is_noticed() -> None:
    steps, observation = slate_log(40_000, seed=6)
    plain = _with_cascade(steps, observation, steps.click)
    found = evaluate_off_policy(BETTER, plain, observation, progress=False)
    assert found.cascade is not None
    assert found.cascade.low <= found.value <= found.cascade.high
    assert not found.warnings
    # Now a strong first item takes all attention: the second is clicked only below a weak one.
    rng = np.random.default_rng(0)
    click = np.stack(
        [rng.random(40_000) < APPEAL[steps.item[:, 0]], (steps.item[:, 0] < 3) & (rng.random(40_000) < 0.9)],
        axis=1,
    ).astype(np.uint8)
    taken = evaluate_off_policy(BETTER, _with_cascade(steps, observation, click), observation, progress=False)
    slates = np.array(list(itertools.permutations(range(N_ITEMS), K)))
    every = observe(np.tile(np.arange(N_ITEMS, dtype=np.int32), (slates.shape[0], 1)))
    exact = float(BETTER.propensity(every, slates).slate @ (APPEAL[slates[:, 0]] + 0.9 * (slates[:, 0] < 3)))
    assert taken.cascade is not None
    assert abs(taken.cascade.value - exact) < 4 * taken.cascade.standard_error
    assert taken.interval is not None
    assert abs(taken.value - exact) > 4 * taken.interval.standard_error, "item-position weights miss it"
    assert any("influence each other" in warning for warning in taken.warnings)


def test_not_applicable() -> None:
    steps, observation = slate_log(100, seed=0)
    found = evaluate_off_policy(Silent(), steps, observation, progress=False)
    assert (found.status, found.interval) == ("not applicable", None)
    unknown = dataclasses.replace(steps, propensity=np.full_like(steps.propensity, np.nan))
    found = evaluate_off_policy(BETTER, unknown, observation, progress=False)
    assert found.status == "not applicable"
    assert "log states no propensities" in found.reason


def test_partly_unknown_propensities_are_left_out_and_told() -> None:
    steps, observation = slate_log(4000, seed=0)
    propensity = steps.propensity.copy()
    propensity[:10, 0] = np.nan
    found = evaluate_off_policy(
        BETTER, dataclasses.replace(steps, propensity=propensity), observation, progress=False
    )
    assert found.n_steps == 3990
    assert "10 of 4000" in found.warnings[0]
    rest = evaluate_off_policy(
        BETTER, steps.take(np.arange(10, 4000)), observation.take(np.arange(10, 4000)), progress=False
    )
    assert found.value == pytest.approx(rest.value, abs=1e-12)


def test_few_clicks_are_warned_of() -> None:
    steps, observation = slate_log(400, seed=0)
    quiet = dataclasses.replace(
        steps, click=np.where(np.arange(400)[:, None] < 20, steps.click, 0).astype(np.uint8)
    )
    found = evaluate_off_policy(BETTER, quiet, observation, progress=False)
    assert found.status == "ok"
    assert any("proves very little" in warning for warning in found.warnings)


def test_single_impressions_find_the_truth() -> None:
    rng, m = np.random.default_rng(5), 30_000
    slots = rng.integers(0, K, m)
    one = np.arange(m)
    drawn = rng.integers(0, N_ITEMS, m)
    item = np.full((m, K), -1, np.int32)
    item[one, slots] = drawn
    click = np.zeros((m, K), np.uint8)
    click[one, slots] = rng.random(m) < THETA[slots] * APPEAL[drawn]
    propensity = np.full((m, K), np.nan)
    propensity[one, slots] = 1 / N_ITEMS
    candidates = np.tile(np.arange(N_ITEMS, dtype=np.int32), (m, 1))
    steps = steps_from(item, click, np.zeros_like(click), propensity, candidates, one, single=True)
    found = evaluate_off_policy(BETTER, steps, observe(candidates), progress=False)
    assert found.estimator == "SNIPS"
    assert found.interval is not None
    # Per impression, slots equally often: half the value of a slate.
    assert abs(found.value - truth(BETTER, purchase_weight=0) / 2) < 4 * found.interval.standard_error
    assert found.interval.half_width < 0.02


def test_short_lists_keep_their_empty_positions_out_of_the_weights() -> None:
    steps, _ = slate_log(600, seed=2)
    item, propensity, click = steps.item.copy(), steps.propensity.copy(), steps.click.copy()
    candidates = steps.candidates.copy()
    # Three hundred pages with two candidates where only one was shown.
    item[:300] = [3, -1]
    propensity[:300] = [0.5, np.nan]
    click[:300, 1] = 0
    candidates[:300] = [3, 1, -1, -1, -1]
    short = dataclasses.replace(
        steps,
        item=item,
        propensity=propensity,
        click=click,
        candidates=candidates,
        purchase=np.zeros_like(click),
    )
    policy = Fixed(np.zeros(N_ITEMS))
    found = evaluate_off_policy(policy, short, observe(candidates), progress=False)
    assert found.status == "ok"
    assert found.estimate is not None
    np.testing.assert_allclose(found.estimate.weights[:300], 1.0)


def test_items_outside_the_candidates_are_told() -> None:
    steps, _ = slate_log(1000, seed=2)
    candidates = steps.candidates.copy()
    candidates[:, 0] = -1  # the shop no longer knows item 0
    moved = np.sort(candidates, axis=1)[:, ::-1].copy()
    found = evaluate_off_policy(BETTER, steps, observe(moved), progress=False)
    lost = int((steps.item == 0).sum())
    assert any(f"{lost} logged items" in warning for warning in found.warnings)


def test_observations_of_other_steps_are_refused() -> None:
    steps, observation = slate_log(100, seed=2)
    with pytest.raises(InputError, match="observe_log"):
        evaluate_off_policy(BETTER, steps, observation.take(np.arange(50)), progress=False)


def test_zero_propensity_is_refused() -> None:
    steps, observation = slate_log(100, seed=2)
    propensity = steps.propensity.copy()
    propensity[3, 1] = 0
    with pytest.raises(InputError, match="row 3, position 1"):
        evaluate_off_policy(
            BETTER, dataclasses.replace(steps, propensity=propensity), observation, progress=False
        )


def test_positions_of_logged_items() -> None:
    items = np.array([[7, 3], [9, 5], [-1, 5], [8, 8]], np.int32)
    candidates = np.array([[3, 5, 7, -1], [5, 3, 7, -1], [5, 3, -1, -1], [1, 2, -1, -1]], np.int32)
    actions, found = logged_positions(items, candidates)
    assert actions[0].tolist() == [2, 0]
    assert found[0].tolist() == [True, True]
    assert actions[1].tolist() == [1, 0]  # 9 is unknown: the first unused candidate stands in
    assert found[1].tolist() == [False, True]
    assert actions[2].tolist() == [1, 0]
    assert actions[3].tolist() == [0, 1]
    assert found[3].tolist() == [False, False]
