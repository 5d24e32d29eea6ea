"""A log as transitions: what an agent would have seen, what was shown instead, what came of it, what it saw next."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from behavior.errors import InputError
from behavior.steps import LoggedSteps, SessionEnd
from encoders.features import CandidateTable, FeatureTables
from envs.observation import Observation
from envs.replay import observe_log
from envs.world import TaskConfig

__all__ = ["LogTransitions", "log_transitions"]

_CHUNK = 2048


@dataclass(frozen=True, kw_only=True)
class LogTransitions:
    """`M` logged pages, sessions one after the other and each in its order."""

    observation: Observation  # (M, ...) before the page
    actions: NDArray[
        np.int64
    ]  # (M, K) candidate positions; -1 where unknown, empty, or not among the candidates
    click: NDArray[np.float32]  # (M, K)
    purchase: NDArray[np.float32]  # (M, K)
    reward: NDArray[np.float32]  # (M,) by the task's reward, as far as the log tells it
    next_observation: (
        Observation  # (M, ...) after the page; its feedback is known even where the session ends
    )
    terminated: NDArray[np.bool_]  # (M,) the session ended with this page, by the user's will
    truncated: NDArray[np.bool_]  # (M,) it was cut off here
    choice_propensity: NDArray[np.float64]  # (M, K) of each choice given those above it; nan unknown

    @property
    def n_steps(self) -> int:
        """Number of pages `M`."""
        return int(self.actions.shape[0])

    @property
    def whole(self) -> NDArray[np.bool_]:
        """(M,) pages of `K` known candidates, each shown once: those that have a probability as a slate."""
        ordered = np.sort(self.actions, axis=1)
        distinct: NDArray[np.bool_] = (ordered[:, 1:] != ordered[:, :-1]).all(axis=1)
        return distinct & (ordered[:, 0] >= 0)

    @property
    def ends(self) -> NDArray[np.bool_]:
        """(M,) last pages of their sessions."""
        return self.terminated | self.truncated

    def take(self, rows: NDArray[np.int64]) -> LogTransitions:
        """The pages at `rows`."""
        return LogTransitions(
            **{field.name: _taken(getattr(self, field.name), rows) for field in dataclasses.fields(self)}
        )

    def returns(self, values: NDArray[np.float32], gamma: float) -> NDArray[np.float32]:
        """Discounted sum (M,) of `values` (M,) from each page to the end of its session, that page included."""
        out = np.empty(values.shape[0], np.float32)
        ends, following = self.ends, 0.0
        for m in range(values.shape[0] - 1, -1, -1):
            following = float(values[m]) + (0.0 if ends[m] else gamma * following)
            out[m] = following
        return out

    def split(self, held_out: float) -> tuple[LogTransitions, LogTransitions]:
        """The first sessions to learn from and the last `held_out` share of pages (whole sessions) to check by."""
        starts = np.flatnonzero(np.concatenate([[True], self.ends[:-1]]))
        cut = starts[min(int(np.searchsorted(starts, (1.0 - held_out) * self.n_steps)), starts.size - 1)]
        return self.take(np.arange(cut)), self.take(np.arange(cut, self.n_steps))


def log_transitions(
    steps: LoggedSteps,
    features: FeatureTables,
    task: TaskConfig,
    *,
    candidates: CandidateTable | None = None,
) -> LogTransitions:
    """The log as transitions of `task`.

    Pages longer than the task's are cut, shorter ones leave positions unknown. The reward is that of `task.reward` but
    for carts, which a log does not tell. A session that does not say how it ended counts as ended by its user.

    Args:
        steps: The log.
        features: The public tables.
        task: N, K, H, the horizon and the reward.
        candidates: Candidates and scores by query, for a log that recorded none.

    Raises:
        InputError: The log has no pages, or no candidates and none are given, or not a single shown item is among
            its candidates.
    """
    if steps.n_steps == 0:
        raise InputError("the log has no pages", where="log_transitions", mend="give a log with sessions")
    steps = steps.top(task.slate_size)
    steps = steps.take(np.lexsort((steps.step, steps.session)))
    M = steps.n_steps
    last = np.append(np.diff(steps.session) != 0, True)  # (M,)
    longer, at = _with_endings(steps, last)
    seen = observe_log(longer, features, task, candidates=candidates)
    before = seen.take(at)
    actions = _positions(before.candidates, _wide(steps.item, task.slate_size, -1))
    if not (actions >= 0).any():
        raise InputError(
            "no item shown in the log is among the candidates of its page",
            where="log_transitions",
            mend="check that the companion table of candidates belongs to this log, or pass candidates=",
        )
    end = steps.session_end
    truncated = last & ((end == SessionEnd.LIMIT) | (end == SessionEnd.NO))
    click = _wide(steps.click.astype(np.float32), task.slate_size, 0)
    purchase = _wide(steps.purchase.astype(np.float32), task.slate_size, 0)
    cascade = _wide(steps.cascade_propensity, task.slate_size, np.nan)
    above = np.concatenate([np.ones((M, 1)), cascade[:, :-1]], axis=1)
    return LogTransitions(
        observation=before,
        actions=actions,
        click=click,
        purchase=purchase,
        reward=_reward(steps, features, task, before, actions, ~last | truncated),
        next_observation=seen.take(at + 1),
        terminated=last & ~truncated,
        truncated=truncated,
        choice_propensity=cascade / above,
    )


def _taken(value: Any, rows: NDArray[np.int64]) -> Any:
    return value.take(rows) if isinstance(value, Observation) else value[rows]


def _with_endings(steps: LoggedSteps, last: NDArray[np.bool_]) -> tuple[LoggedSteps, NDArray[np.int64]]:
    """The log with an empty page after each session, and where its own pages (M,) stand in it.

    What is observed at that page is what the agent would have seen after the session's last page.
    """
    M = steps.n_steps
    rows = np.repeat(np.arange(M), 1 + last)
    extra = np.append(np.diff(rows) == 0, False)
    extra = np.concatenate([[False], extra[:-1]])  # the second of two equal rows
    longer = steps.take(rows)
    return (
        dataclasses.replace(
            longer,
            step=(longer.step + extra).astype(np.int32),
            item=np.where(extra[:, None], -1, longer.item).astype(np.int32),
            click=np.where(extra[:, None], 0, longer.click).astype(np.uint8),
            purchase=np.where(extra[:, None], 0, longer.purchase).astype(np.uint8),
        ),
        np.flatnonzero(~extra),
    )


def _positions(candidates: NDArray[np.int32], item: NDArray[np.int32]) -> NDArray[np.int64]:
    """Where each shown item (M, K) stands among the candidates (M, N); -1 where it does not."""
    out = np.full(item.shape, -1, np.int64)
    for start in range(0, item.shape[0], _CHUNK):
        rows = slice(start, start + _CHUNK)
        same = candidates[rows, None, :] == item[rows, :, None]  # (b, K, N)
        found = same.any(axis=2) & (item[rows] >= 0)
        out[rows] = np.where(found, same.argmax(axis=2), -1)
    return out


def _reward(
    steps: LoggedSteps,
    features: FeatureTables,
    task: TaskConfig,
    before: Observation,
    actions: NDArray[np.int64],
    stayed: NDArray[np.bool_],
) -> NDArray[np.float32]:
    mix, bought = task.reward, steps.purchase.astype(np.float64)
    total = mix.click * steps.click.sum(axis=1, dtype=np.float64) + mix.purchase * bought.sum(axis=1)
    price = np.append(np.nan_to_num(features.price.astype(np.float64)), 0.0)  # a last row for -1
    total += mix.revenue * (bought * price[steps.item]).sum(axis=1)
    if mix.margin and features.margin is not None:
        margin = np.append(features.margin.astype(np.float64), 0.0)
        total += mix.margin * (bought * price[steps.item] * margin[steps.item]).sum(axis=1)
    known = actions >= 0
    count = np.maximum(known.sum(axis=1), 1)
    shown = np.where(known, np.take_along_axis(before.scores, np.maximum(actions, 0), axis=1), 0.0)
    total += mix.relevance * shown.sum(axis=1) / count
    if mix.diversity:
        total += mix.diversity * _distance(steps.item, features)
    total += mix.stay * stayed
    reward: NDArray[np.float32] = total.astype(np.float32)
    return reward


def _distance(item: NDArray[np.int32], features: FeatureTables) -> NDArray[np.float64]:
    """Mean pairwise 1 - cosine (M,) of the known items of each page; 0 where there are fewer than two."""
    known = item >= 0
    vectors = np.where(known[:, :, None], features.item_vectors[item], 0.0).astype(np.float64)
    n = known.sum(axis=1)
    cosines = (np.square(vectors.sum(axis=1)).sum(axis=1) - np.square(vectors).sum(axis=(1, 2))) / 2
    pairs = n * (n - 1) / 2
    return np.where(pairs > 0, 1.0 - cosines / np.maximum(pairs, 1), 0.0)


def _wide(table: NDArray[Any], width: int, fill: float) -> NDArray[Any]:
    out = np.full((table.shape[0], width), fill, table.dtype)
    out[:, : table.shape[1]] = table
    return out
