"""A few sessions of a policy, explained candidate by candidate for the report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from agents.base import Draw
from agents.counterfactual import Continuations, play_on, swapped, take_rows
from agents.score_policy import ScorePolicy
from envs.core import SlateCore
from envs.observation import Observation
from envs.results import StepResult
from envs.world import TaskConfig, World
from evaluation.online import policy_seed
from evaluation.report_data import ExplainedItem, ExplainedPage, ExplainedSession, PolicyExplanation
from evaluation.slates import shown_item

if TYPE_CHECKING:
    from agents.base import Policy
    from agents.explain import Explanation
    from agents.learned_policy import LearnedPolicy

__all__ = ["explain_sessions", "ranks"]


def explain_sessions(
    policy: Policy,
    world: World,
    task: TaskConfig,
    *,
    users: Sequence[int],
    seed: int,
    gamma: float = 1.0,
    rollouts: int = 32,
    most_left_out: int = 5,
    name: str | None = None,
) -> PolicyExplanation:
    """Play one session of each of `users` and say of every page why it looks as it does.

    For a policy with a network: what the network foretells (`agents.explain`), and by how much each candidate changes
    what comes later, measured by playing on in the world with planner's chance (`agents.counterfactual`). The measure
    compares the page with one that differs in a single place: the candidate there, or the first candidate left out
    (the best of those that the policy did not show). A candidate that was not shown is tried in the last place.

    Args:
        policy: Any; one without a network has its rank changes explained, and nothing else.
        world: The users, true or fitted.
        task: Sizes, horizon and reward.
        users: User numbers; no two alike.
        seed: Key of the users' chance, and of the planner's.
        gamma: Discount of what comes later, the learner's.
        rollouts: Continuations of every page; 0 leaves the measure out.
        most_left_out: Candidates named that relevance order would have shown and the policy did not.
        name: What to call the policy.
    """
    from agents.learned_policy import LearnedPolicy  # loads torch

    played = _play(policy, world, task, users, seed)
    network = policy if isinstance(policy, LearnedPolicy) else None
    pages = [
        _Page(step, row, most_left_out=most_left_out, policy=policy)
        for row in range(len(users))
        for step in played
        if step.active[row]
    ]
    told: list[Explanation | None] = [None] * len(pages)
    measured: list[_Later | None] = [None] * len(pages)
    if network is not None:
        told = _foretold(network, pages, world, task)
        if rollouts:
            measured = _later(network, world, task, pages, rollouts=rollouts, gamma=gamma, seed=seed)
    sessions = []
    for row, user in enumerate(users):
        mine = [index for index, page in enumerate(pages) if page.row == row]
        after = _values_after(network, [pages[index] for index in mine], task)
        explained = tuple(
            _explained(world, pages[index], number + 1, told[index], measured[index], after[number])
            for number, index in enumerate(mine)
        )
        sessions.append(
            ExplainedSession(name=f"user {user:,}", ending=_ending(pages[mine[-1]]), pages=explained)
        )
    return PolicyExplanation(
        policy=name or policy.name,
        sessions=tuple(sessions),
        notes=_notes(
            network,
            rollouts=rollouts,
            gamma=gamma,
        ),
    )


def ranks(scores: NDArray[np.floating], valid: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Ranks (N,) from 1 by falling score among the valid, ties in source order; 0 for the others."""
    order = np.argsort(-np.where(valid, scores, -np.inf), kind="stable")
    result = np.zeros(scores.shape[0], np.int64)
    result[order] = np.arange(scores.shape[0]) + 1
    return np.where(valid, result, 0)


@dataclass(frozen=True)
class _Step:
    """One step of all users."""

    observation: Observation
    saved: dict[str, NDArray[Any]]
    query: NDArray[np.int32]
    result: StepResult
    active: NDArray[np.bool_]  # (B,) users whose first session goes on


def _play(policy: Policy, world: World, task: TaskConfig, users: Sequence[int], seed: int) -> list[_Step]:
    numbers = np.asarray(users, np.int64)
    core = SlateCore(world, task, n_users=numbers.shape[0], seed=seed)
    observation = core.reset(users=numbers)
    active = np.ones(numbers.shape[0], np.bool_)
    steps = []
    while active.any():
        saved, state = core.save_state(), core.state.copy()
        actions = policy.rank(
            observation,
            Draw(seed=policy_seed(seed), user=state.user, step=state.step),
            slate_size=task.slate_size,
            state=state if policy.privileged else None,
        )
        result = core.step(actions)
        steps.append(_Step(observation, saved, state.query, result, active.copy()))
        active &= ~(result.terminated | result.truncated)
        observation = result.observation
    return steps


class _Page:
    """One user's page, and the candidates that are to be explained."""

    def __init__(self, step: _Step, row: int, *, most_left_out: int, policy: Policy) -> None:
        self.step, self.row = step, row
        self.observation = step.observation.take(np.array([row]))
        self.items = self.observation.candidates[0]  # (N,)
        self.slate = step.result.positions[row]  # (K,) candidate positions
        valid = self.items >= 0
        self.relevance_rank = ranks(self.observation.scores[0], valid)
        self.policy_rank = np.zeros(self.items.shape[0], np.int64)
        if isinstance(policy, ScorePolicy) and policy.temperature == 0:
            self.policy_rank = ranks(policy.scores(self.observation)[0], valid)
        else:
            self.policy_rank[self.slate] = np.arange(self.slate.shape[0]) + 1
        shown = np.zeros_like(valid)
        shown[self.slate] = True
        hidden = np.flatnonzero(valid & ~shown)
        by_policy = hidden[
            np.argsort(np.where(self.policy_rank[hidden] > 0, self.policy_rank[hidden], 2**31))
        ]
        self.reference = int(by_policy[0]) if hidden.size and self.policy_rank[by_policy[0]] > 0 else None
        dropped = hidden[self.relevance_rank[hidden] <= self.slate.shape[0]]
        dropped = dropped[np.argsort(self.relevance_rank[dropped])][:most_left_out]
        first = [] if self.reference is None else [self.reference]
        self.left_out = list(dict.fromkeys([*first, *dropped.tolist()]))

    @property
    def ended(self) -> bool:
        return bool(self.step.result.terminated[self.row] | self.step.result.truncated[self.row])


@dataclass(frozen=True)
class _Later:
    """Measured later worth (N,) and its standard error; nan where it was not asked for."""

    worth: NDArray[np.float64]
    error: NDArray[np.float64]


def _foretold(
    network: Any, pages: Sequence[_Page], world: World, task: TaskConfig
) -> list[Explanation | None]:
    from agents.explain import explain

    return [explain(network, page.observation, world.features, task.reward) for page in pages]


def _values_after(network: Any, pages: Sequence[_Page], task: TaskConfig) -> list[float | None]:
    """The network's value after each page of a session."""
    if network is None:
        return [None] * len(pages)
    from agents.explain import page_values

    found: list[float | None] = []
    for page in pages:
        result, row = page.step.result, page.row
        if result.terminated[row]:
            found.append(0.0)
        elif result.truncated[row]:
            last = np.flatnonzero(result.finished == row)
            found.append(float(page_values(network, result.final_observation.take(last))[0]))
        else:
            found.append(float(page_values(network, result.observation.take(np.array([row])))[0]))
    return found


def _later(
    policy: Policy,
    world: World,
    task: TaskConfig,
    pages: Sequence[_Page],
    *,
    rollouts: int,
    gamma: float,
    seed: int,
) -> list[_Later | None]:
    """Plays all variants of all pages on at once."""
    slates: list[NDArray[np.int64]] = []
    owner: list[int] = []
    pairs: list[
        list[tuple[int, int, int]]
    ] = []  # of each page: candidate, its variant, the one to compare with
    for index, page in enumerate(pages):
        mine: list[tuple[int, int, int]] = []
        pairs.append(mine)
        if page.reference is None:
            continue
        first = len(slates)
        slates.append(page.slate)
        for slot, candidate in enumerate(page.slate.tolist()):
            mine.append((candidate, first, len(slates)))
            slates.append(swapped(page.slate, slot, page.reference))
        last = len(slates) - 1  # the page with the reference in the last place
        for candidate in page.left_out:
            if candidate != page.reference:
                mine.append((candidate, len(slates), last))
                slates.append(swapped(page.slate, page.slate.shape[0] - 1, candidate))
        owner += [index] * (len(slates) - first)
    if not slates:
        return [None] * len(pages)
    rows = [take_rows(pages[index].step.saved, np.array([pages[index].row])) for index in owner]
    saved = {
        name: rows[0][name] if name == "seed" else np.concatenate([row[name] for row in rows])
        for name in rows[0]
    }
    found = play_on(policy, world, task, saved, np.stack(slates), rollouts=rollouts, gamma=gamma, seed=seed)
    return [_of_page(page, mine, found) if mine else None for page, mine in zip(pages, pairs, strict=True)]


def _of_page(page: _Page, pairs: Sequence[tuple[int, int, int]], found: Continuations) -> _Later:
    worth = np.full(page.items.shape[0], np.nan)
    error = worth.copy()
    candidates, variants, others = (np.array(column, np.int64) for column in zip(*pairs, strict=True))
    worth[candidates], error[candidates] = found.later_than(variants, others)
    return _Later(worth, error)


def _explained(
    world: World,
    page: _Page,
    number: int,
    told: Explanation | None,
    later: _Later | None,
    value_after: float | None,
) -> ExplainedPage:
    result, row = page.step.result, page.row
    now_rank = None if told is None else ranks(told.now[0], page.items >= 0)

    def item(candidate: int, slot: int | None) -> ExplainedItem:
        clicked = slot is not None and bool(result.feedback.click[row, slot])
        bought = slot is not None and bool(result.feedback.purchase[row, slot])
        about: dict[str, Any] = {}
        if told is not None and now_rank is not None:
            about = {name: float(getattr(told, name)[0, candidate]) for name in ("click", "purchase", "now")}
            about["now_rank"] = int(now_rank[candidate])
            if page.reference is not None and candidate != page.reference:
                about["later_foretold"] = float(told.later[0, candidate] - told.later[0, page.reference])
        if later is not None and np.isfinite(later.worth[candidate]):
            about |= {"later": float(later.worth[candidate]), "later_error": float(later.error[candidate])}
        rank = int(page.policy_rank[candidate])
        return ExplainedItem(
            item=shown_item(world, int(page.items[candidate]), clicked, bought),
            slot=None if slot is None else slot + 1,
            relevance_rank=int(page.relevance_rank[candidate]),
            policy_rank=rank or None,
            **about,
        )

    query = int(page.step.query[row])
    return ExplainedPage(
        number=number,
        query=world.queries[query] if world.queries else f"query {query}",
        shown=tuple(item(candidate, slot) for slot, candidate in enumerate(page.slate.tolist())),
        left_out=tuple(item(candidate, None) for candidate in page.left_out),
        reward=float(result.reward[row]),
        value_before=None if told is None else float(told.value[0]),
        value_after=value_after,
    )


def _ending(page: _Page) -> str:
    result, row = page.step.result, page.row
    at = int(np.flatnonzero(result.finished == row)[0])
    session = result.episodes.row(at)
    how = "because the user left" if session["left"] else "at the step limit"
    pages = "1 page" if session["length"] == 1 else f"{session['length']} pages"
    return f"{pages}, {session['clicks']} clicked, {session['purchases']} bought; ended {how}"


def _notes(network: LearnedPolicy | None, *, rollouts: int, gamma: float) -> tuple[str, ...]:
    lines = [
        "Ranks are among the candidates of the page: by relevance, and by the policy. An arrow up: the policy ranks "
        "the item higher than relevance does.",
    ]
    if network is None:
        return tuple(lines)
    lines.append(
        "Click and purchase chances are the response model's, averaged over the positions of a page; 'now' is the "
        "reward of clicks and purchases that they amount to. 'Value' is the discounted return that the network "
        "expects from a page on."
    )
    from agents.ppo.policy import PlackettLucePolicy

    if rollouts:
        lines.append(
            f"'Later' is measured, not foretold: the page was shown to the same user {rollouts} times with new "
            "chance, once as it is and once with the first candidate left out in this item's place, and the policy "
            "played on to the end of the session. It is the mean difference of all later reward, discounted by "
            f"{gamma:g} a page, ± 1.96 standard errors; pale where the interval holds zero. An item that was not "
            "shown was tried in the last place."
        )
    lines.append(
        "'Later, foretold' is what the network believes that showing the item adds beyond 'now', as a difference to "
        "the first candidate left out: its belief about the same quantity (and about reward other than clicks and "
        "purchases)."
    )
    if isinstance(network.network, PlackettLucePolicy):
        lines.append(
            "A policy network's scores are logits, known up to any factor: they give ranks and no amounts of reward, "
            "so none is shown. What is foretold is the part of them that is counted in reward; the rest is what "
            "policy gradients found out."
        )
    return tuple(lines)
