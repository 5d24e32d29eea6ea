"""The belief filter against Bayes' rule by hand, and what the belief oracle may and may not see."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from numpy.typing import NDArray

from agents.base import Draw
from agents.baselines import RandomPolicy
from agents.belief import BeliefConfig, BeliefOracle
from agents.belief_filter import BeliefFilter, FilterConfig, SeenPage, systematic
from agents.contract import check_policy
from agents.oracles import MyopicOracle
from agents.planning import Tuning, family_of
from behavior.errors import InputError
from envs.core import SlateCore
from envs.observation import Observation
from envs.toy import toy_world
from envs.world import TaskConfig, World
from evaluation.online import evaluate_online
from simulators.base import Feedback, SessionState

QUICK = BeliefConfig(
    filter=FilterConfig(guesses=128, pool=1024),
    tuning=Tuning(rounds=0),
    retuning=Tuning(rounds=0),
    progress=False,
)
TASK = TaskConfig(slate_size=4, n_candidates=20, max_steps=6)


def world() -> World:
    return toy_world(n_items=200, n_queries=8, n_candidates=20)


class TwoKinds:
    """Users are of kind 0 (three in four) or 1; item i is clicked with probability `rate[kind, i]`, and the context
    is the kind plus normal noise."""

    n_items, n_queries, context_size, slate_size = 3, 1, 1, None
    rate = np.array([[0.8, 0.5, 0.1], [0.1, 0.5, 0.8]])

    def begin(self, users: NDArray[np.int64], *, seed: int) -> SessionState:
        from simulators.kernels.rng import Purpose, uniform_table

        B = users.shape[0]
        step = np.zeros(B, np.int32)
        luck = uniform_table(seed, users, step, Purpose.POPULATION, 1)
        kind = (luck > 0.75).astype(np.float32)
        return SessionState(np.array(users), step, step.copy(), kind.copy(), kind)

    def respond(self, state: SessionState, slates: NDArray[np.int32], *, seed: int) -> Feedback:
        raise AssertionError("a filter never draws")

    def appeal(self, state: SessionState, items: NDArray[np.int32]) -> object:
        raise AssertionError("a filter needs no appeal")

    def examination_weights(self, n_positions: int) -> NDArray[np.float32]:
        return np.ones(n_positions, np.float32)

    def absorb(
        self,
        state: SessionState,
        slates: NDArray[np.int32],
        feedback: Feedback,
        *,
        query: NDArray[np.int32],
        context: NDArray[np.float32],
    ) -> NDArray[np.float64]:
        p = self.rate[state.hidden[:, 0].astype(np.int64)[:, None], slates]
        state.step += 1
        chance: NDArray[np.float64] = np.where(feedback.click > 0, p, 1 - p).prod(axis=1)
        return np.log(chance)

    def context_log_density(self, state: SessionState, context: NDArray[np.float32]) -> NDArray[np.float64]:
        gap = context[:, 0].astype(np.float64) - state.hidden[:, 0]
        return -0.5 * gap**2


def test_posterior_is_bayes_rule() -> None:
    simulator = TwoKinds()
    config = FilterConfig(guesses=2000, pool=20_000, least=0.0)
    beliefs = BeliefFilter(simulator, config)  # type: ignore[arg-type]
    context = np.array([[0.3]], np.float32)
    belief = beliefs.begin(np.array([5]), np.zeros(1, np.int32), context)
    prior = np.array([0.75, 0.25]) * np.exp(-0.5 * (0.3 - np.array([0.0, 1.0])) ** 2)
    pages = [([0, 1], [1, 0]), ([2, 0], [1, 0]), ([1, 2], [1, 1])]
    likelihood = np.ones(2)
    for slate, click in [([], []), *pages]:
        if slate:
            p = simulator.rate[:, slate]
            likelihood *= np.where(np.array(click) > 0, p, 1 - p).prod(axis=1)
            page = SeenPage(
                np.array([slate], np.int32),
                np.array([click], np.uint8),
                np.zeros((1, 2), np.uint8),
                np.zeros(1, np.int32),
                context,
            )
            beliefs.follow(belief, page)
        posterior = prior * likelihood / (prior * likelihood).sum()
        guessed = belief.chances()[0] @ (belief.state.hidden[:, 0] == 1)
        # The pool is 20,000 users: the prior odds are known to about 1.3 %; four times that.
        assert guessed == pytest.approx(posterior[1], abs=0.055 * posterior[1] * posterior[0] / 0.25 + 1e-3)


def test_systematic_resampling_draws_in_proportion() -> None:
    chances = np.array([[0.5, 0.25, 0.0, 0.25]])
    drawn = systematic(chances, np.array([0.3]), 8)
    assert np.bincount(drawn[0], minlength=4).tolist() == [4, 2, 0, 2]
    for offset in (1e-9, 0.5, 1 - 1e-9):
        count = np.bincount(systematic(chances * 7, np.array([offset]), 7)[0], minlength=4)
        assert count.sum() == 7
        assert (np.abs(count - 7 * chances[0]) < 1).all()


def follow_sessions(core: SlateCore, beliefs: BeliefFilter, refresh: bool) -> NDArray[np.float64]:
    """Mean squared distance of the guessed from the true taste after each page, shared by who is still there."""
    observation = core.reset()
    B, width = core.n_users, core.world.features.item_vectors.shape[1]
    user, query, context = core.state.user.copy(), core.state.query.copy(), core.state.context.copy()
    belief, pages, errors = beliefs.begin(user, query, context), [], []
    S = belief.log_weight.shape[1]
    here = np.ones(B, np.bool_)
    policy = RandomPolicy()
    for _ in range(core.task.max_steps):
        taste = belief.state.hidden.reshape(B, S, -1)[:, :, :width]
        guess = (belief.chances()[:, :, None] * taste).sum(axis=1)
        errors.append(float(np.square(guess - core.state.hidden[:, :width]).sum(axis=1)[here].mean()))
        draw = Draw(3, core.state.user, core.state.step)
        result = core.step(policy.rank(observation, draw, slate_size=core.task.slate_size))
        here &= ~(result.terminated | result.truncated)
        observation = result.observation
        page = SeenPage(
            result.slates,
            result.feedback.click,
            result.feedback.purchase,
            observation.query[:, 0],
            observation.context,
        )
        pages.append(page)
        beliefs.follow(belief, page)
        if refresh:
            beliefs.refresh(belief, user, query, context, pages)
    return np.array(errors)


def test_guesses_come_nearer_to_the_truth() -> None:
    shop = world()
    core = SlateCore(shop, dataclasses.replace(TASK, max_steps=10), n_users=200, seed=2)
    beliefs = BeliefFilter(shop.simulator, QUICK.filter)  # type: ignore[arg-type]
    errors = follow_sessions(core, beliefs, refresh=True)
    assert errors[-1] < 0.75 * errors[0]


def test_fresh_guesses_mend_a_poor_belief() -> None:
    shop = world()
    simulator = shop.simulator
    core = SlateCore(shop, TASK, n_users=50, seed=2)
    observation = core.reset()
    user, query, context = core.state.user.copy(), core.state.query.copy(), core.state.context.copy()
    few = BeliefFilter(simulator, FilterConfig(guesses=16, pool=64, least=0.9, refreshes=3))  # type: ignore[arg-type]
    belief, pages = few.begin(user, query, context), []
    for _ in range(3):
        result = core.step(np.tile(np.arange(4), (50, 1)))
        pages.append(
            SeenPage(
                result.slates,
                result.feedback.click,
                result.feedback.purchase,
                result.observation.query[:, 0],
                result.observation.context,
            )
        )
        few.follow(belief, pages[-1])
    before, effective = belief.log_weight.max(axis=1).copy(), belief.effective()
    few.refresh(belief, user, query, context, pages)
    assert (belief.log_weight.max(axis=1) >= before).all()  # the likeliest are kept
    assert (belief.log_weight.max(axis=1) > before).any()
    poor = effective < 0.9 * 16
    assert poor.any()
    assert (belief.state.step == 3).all()  # fresh ones have seen what the old ones saw
    assert (np.diff(belief.log_weight[poor], axis=1) <= 0).all()
    assert observation.query.shape == (50, 1)


def oracle(shop: World) -> BeliefOracle:
    return BeliefOracle(shop, TASK, QUICK, theta=family_of(shop, TASK).myopic())


def test_it_never_needs_the_state_and_a_user_does_not_depend_on_the_batch() -> None:
    shop = world()
    together, alone = oracle(shop), oracle(shop)
    assert not together.privileged
    B, one = 70, np.array([13])
    core = SlateCore(shop, TASK, n_users=B, seed=1)
    observation = core.reset()
    for _ in range(12):  # beyond the first users of the slots
        draw = Draw(0, core.state.user.copy(), core.state.step.copy())
        slates = together.rank(observation, draw, slate_size=4)
        again = together.rank(observation, draw, slate_size=4)
        assert (again == slates).all()  # asking twice changes nothing
        single = alone.rank(observation.take(one), Draw(9, draw.user[one], draw.step[one]), slate_size=4)
        assert (single == slates[one]).all()
        observation = core.step(slates).observation
    assert core.state.user.max() >= B


def test_a_session_that_was_not_followed_is_refused() -> None:
    shop = world()
    core = SlateCore(shop, TASK, n_users=5, seed=1)
    core.reset()
    observation: Observation = core.step(np.tile(np.arange(4), (5, 1))).observation
    middle = np.flatnonzero(core.state.step == 1)
    assert middle.size
    draw = Draw(0, core.state.user[middle], core.state.step[middle])
    with pytest.raises(InputError, match="last seen at none"):
        oracle(shop).rank(observation.take(middle), draw, slate_size=4)


def test_it_stands_between_random_and_the_myopic_oracle() -> None:
    shop = world()
    found = evaluate_online(
        {"random": RandomPolicy(), "belief": oracle(shop), "myopic": MyopicOracle.for_world(shop, TASK)},
        shop,
        TASK,
        n_users=300,
        seed=4,
        progress=False,
    )
    # Paired over 300 users; 99.99 % intervals.
    assert found.difference("belief", "random", level=0.9999).low > 0
    assert found.difference("myopic", "belief", level=0.9999).low > 0


def test_practice_in_belief_starts_from_the_given_weights() -> None:
    shop = world()
    start = family_of(shop, TASK).myopic()
    config = dataclasses.replace(QUICK, retuning=Tuning(rounds=1, population=4, elite=2, users=24))
    first, second = (BeliefOracle(shop, TASK, config, theta=start).prepare() for _ in range(2))
    assert (first == second).all()
    assert np.abs(first - start).max() < 1.0


def test_a_closed_simulator_is_refused() -> None:
    shop = world()
    with pytest.raises(InputError, match="how probable"):
        BeliefOracle(World(simulator=object(), candidates=shop.candidates, features=shop.features))  # type: ignore[arg-type]


def test_it_keeps_the_policy_contract_on_a_first_page() -> None:
    shop = world()
    core = SlateCore(shop, TASK, n_users=5, seed=1)
    assert len(check_policy(oracle(shop), core.reset(), slate_size=4)) == 4  # it tells no propensities
