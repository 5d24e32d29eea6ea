"""A pointwise click and purchase model, ranked greedily: the usual practice that learners should beat."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from agents.base import Policy
from agents.click_model import Chance, fit_chance
from agents.item_columns import ItemColumns
from agents.offline.served import served_transitions
from agents.offline.transitions import LogTransitions, log_transitions
from agents.score_policy import ScorePolicy
from agents.worth import Worth
from behavior.errors import InputError
from behavior.steps import LoggedSteps
from encoders.features import CandidateTable, FeatureTables
from envs.observation import Observation
from envs.world import TaskConfig, World

__all__ = ["ClickGreedyConfig", "ClickGreedyPolicy"]

_APART = 100_000_000  # users between the first ones of two rounds
_PORTION = 20_000  # pages served before their impressions are taken down
_Impressions = tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]
_ROWS = 4_096  # pages whose columns are in memory at a time


@dataclass(frozen=True, kw_only=True)
class ClickGreedyConfig:
    """How the models are fitted."""

    model: Literal["logistic", "boosting"] = "logistic"
    """A logistic regression with every product of what is known of the user and the items' numeric columns; or boosted
    trees. On the tasks' amounts of feedback (a few clicks in a hundred impressions) the regression is the better ranker
    and many times faster to fit; see docs/baselines.md."""
    objective: Literal["worth", "click"] = "worth"
    """Rank by what an item is expected to earn in the task's score (click and purchase), or by its click alone."""
    regularisation: float = 1.0
    """L2 penalty: on the standardised weights, or on the leaves of the trees."""
    trees: int = 300
    """The most trees of boosting; a held-out tenth says when to stop."""
    history: int = 10
    """Recent clicks that make up what the user seems to like."""
    max_impressions: int = 300_000
    """The most recent impressions that are used."""
    temperature: float = 0.0
    """Of the policy: the scores are logarithms of the expected worth (of the click probability)."""
    serving_temperature: float = 0.3
    """The same while it serves between the rounds of `fit_in_world`, to go on exploring."""
    seed: int = 0
    """Of the held-out tenth."""


class ClickGreedyPolicy(ScorePolicy):
    """Ranks by what each item alone is expected to earn on this page; made by `fit` or `fit_in_world`.

    A click model and a model of the purchase given a click, each pointwise in the columns of `ItemColumns`. Positions
    enter the fit, because what stands high is clicked more, and the ranking asks for the top position.

    Args:
        columns: Observation -> columns.
        click: The click model.
        purchase: The model of a purchase given a click; None ranks by clicks.
        worth: Of clicks and purchases.
        config: How it was fitted.
    """

    name = "click-greedy"

    def __init__(
        self,
        columns: ItemColumns,
        click: Chance,
        purchase: Chance | None,
        worth: Worth,
        config: ClickGreedyConfig | None = None,
    ) -> None:
        self.config = config or ClickGreedyConfig()
        super().__init__(temperature=self.config.temperature)
        self.columns, self.click, self.purchase, self.worth = columns, click, purchase, worth

    @property
    def names(self) -> tuple[str, ...]:
        """What each column of the models is."""
        return self.columns.names

    @classmethod
    def fit(
        cls,
        steps: LoggedSteps,
        features: FeatureTables,
        config: ClickGreedyConfig | None = None,
        *,
        task: TaskConfig | None = None,
        candidates: CandidateTable | None = None,
    ) -> ClickGreedyPolicy:
        """Fit on every logged impression whose item is known.

        Args:
            steps: The log.
            features: The public tables.
            config: How.
            task: Whose score is the worth, and how much of the past is observed; as the log is where None.
            candidates: Candidates and scores by query, for a log that recorded none; without them, the shown items
                stand for the candidates, and scores are the relevance model's.

        Raises:
            InputError: The log has no impressions, or only clicks, or none.
        """
        config = config or ClickGreedyConfig()
        if task is None:
            task = TaskConfig(
                slate_size=steps.slate_size,
                n_candidates=max(steps.slate_size, steps.candidates.shape[1]),
                max_steps=int(steps.step.max(initial=0)) + 1,
                history=config.history,
            )
        own = steps.candidates.shape[1] > 0 or candidates is not None
        if not own:  # what was shown is all that is known of the page
            steps = dataclasses.replace(steps, candidates=steps.item)
        if not (steps.n_steps and (steps.item >= 0).any()):
            raise _unfit(0, 0)
        log = log_transitions(steps, features, task, candidates=candidates)
        return cls.fit_transitions([log], features, task, config, blind=() if own else ("kind_seen",))

    @classmethod
    def fit_in_world(
        cls,
        world: World,
        task: TaskConfig,
        *,
        n_steps: int,
        behaviour: Policy,
        rounds: int = 4,
        seed: int = 0,
        first_user: int = 0,
        config: ClickGreedyConfig | None = None,
        progress: bool = True,
    ) -> ClickGreedyPolicy:
        """Fit on about `n_steps` pages served in a world, by `behaviour` at first and then by what was fitted.

        Rankers of this sort are fitted anew, day by day, to what they served themselves: after each of `rounds` equal
        parts of the pages the models are fitted to all pages so far and serve the next part, exploring with the
        configuration's `serving_temperature`. With one round, all is served by `behaviour`.

        Args:
            world: Where.
            task: The task.
            n_steps: Pages.
            behaviour: Who serves first; it should not always show the same, or little can be told apart.
            rounds: How often the models are fitted.
            seed: Key of all chance.
            first_user: The first of the users.
            config: How the models are fitted.
            progress: Whether to show a bar.

        Raises:
            InputError: The log has no clicks, or only clicks.
        """
        config = config or ClickGreedyConfig()
        explore = dataclasses.replace(config, temperature=config.serving_temperature)
        columns = _columns(config, world.features, task, int(world.simulator.context_size))
        rounds = max(1, rounds)
        server, parts = behaviour, list[_Impressions]()
        for n in range(rounds):
            left = max(1, n_steps // rounds)
            user = first_user + n * _APART
            while left > 0:  # in portions: a page takes a hundred times the memory of its impressions
                pages = min(left, _PORTION)
                log = served_transitions(
                    world, task, server, n_steps=pages, seed=seed, first_user=user, progress=progress
                )
                parts.append(_impressions(log, columns, config.max_impressions))
                left, user = left - pages, user + _APART // 100
            fitted = cls._fit(parts, columns, world.features, task, config if n + 1 == rounds else explore)
            server = fitted
        return fitted

    @classmethod
    def fit_transitions(
        cls,
        logs: Sequence[LogTransitions],
        features: FeatureTables,
        task: TaskConfig,
        config: ClickGreedyConfig | None = None,
        *,
        blind: tuple[str, ...] = (),
    ) -> ClickGreedyPolicy:
        """Fit on pages as observed.

        Args:
            logs: The pages; the most recent log last.
            features: The public tables.
            task: Whose score is the worth.
            config: How.
            blind: Columns that the log cannot tell; the models are fitted without them.

        Raises:
            InputError: The log has no impressions, or only clicks, or none.
        """
        config = config or ClickGreedyConfig()
        columns = _columns(config, features, task, logs[0].observation.context.shape[1])
        parts = [_impressions(log, columns, config.max_impressions) for log in logs]
        return cls._fit(parts, columns, features, task, config, blind=blind)

    @classmethod
    def _fit(
        cls,
        parts: Sequence[_Impressions],
        columns: ItemColumns,
        features: FeatureTables,
        task: TaskConfig,
        config: ClickGreedyConfig,
        *,
        blind: tuple[str, ...] = (),
    ) -> ClickGreedyPolicy:
        x, position, click, purchase = (
            np.concatenate(part)[-config.max_impressions :] for part in zip(*parts, strict=True)
        )
        clicks = click.sum()
        if clicks in (0, click.size):
            raise _unfit(click.size, int(clicks))
        x[:, [columns.names.index(name) for name in blind]] = 0.0
        settings = {
            "model": config.model,
            "regularisation": config.regularisation,
            "trees": config.trees,
            "seed": config.seed,
        }
        clicked = click > 0
        buys = config.objective == "worth" and purchase.any()
        return cls(
            columns,
            fit_chance(x, click, position, **settings),  # type: ignore[arg-type]
            fit_chance(x[clicked], purchase[clicked], position[clicked], **settings) if buys else None,  # type: ignore[arg-type]
            Worth.of_task(task, features, features.n_items),
            config,
        )

    def scores(self, observation: Observation) -> NDArray[np.float64]:
        """Logarithm of the expected worth of each candidate at the top of the page, (B, N)."""
        B, N = observation.candidates.shape
        x = self.columns(observation).reshape(B * N, -1)
        log_chance = -np.logaddexp(0.0, -self.click.logits(x))
        if self.purchase is None:
            return log_chance.reshape(B, N)
        items = observation.candidates.reshape(-1)
        buys = 1.0 / (1.0 + np.exp(-self.purchase.logits(x)))
        gain = self.worth.click + self.worth.purchase[items] * buys
        return (log_chance + np.log(np.maximum(gain, 1e-9))).reshape(B, N)


def _columns(
    config: ClickGreedyConfig, features: FeatureTables, task: TaskConfig, context: int
) -> ItemColumns:
    return ItemColumns(
        features,
        context_size=context,
        history=config.history,
        memory=task.memory * task.slate_size,
        crosses=config.model == "logistic",
        session=config.model == "boosting",
    )


def _impressions(log: LogTransitions, columns: ItemColumns, most: int) -> _Impressions:
    """Columns (R, C), positions (R,), clicks (R,) and purchases (R,) of the last impressions of known items."""
    known = log.actions >= 0
    per_page = known.sum(axis=1)
    later = np.cumsum(per_page[::-1])[::-1] - per_page  # impressions after each page
    first = int((later >= most).sum())
    blocks = []
    for start in range(first, log.n_steps, _ROWS):
        rows = np.arange(start, min(start + _ROWS, log.n_steps))
        x = columns(log.observation.take(rows))
        page, slot = np.nonzero(known[rows])
        blocks.append(x[page, log.actions[rows][page, slot]])
    page, slot = np.nonzero(known[first:])
    x = np.concatenate(blocks) if blocks else np.empty((0, len(columns.names)), np.float32)
    return x, slot, log.click[first:][page, slot], log.purchase[first:][page, slot]


def _unfit(impressions: int, clicks: int) -> InputError:
    return InputError(
        f"a click model needs impressions with and without clicks; found {impressions} impressions, "
        f"{clicks} of them clicked",
        where="click-greedy",
        mend="give a log with clicks, or leave this policy out",
    )
