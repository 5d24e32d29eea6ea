"""Watches whether the values that a learner foretells come true, and draws it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.callbacks import BaseCallback

from agents.calibration import SessionValues, ValuePairs, calibrate
from agents.calibration_picture import draw_calibration
from agents.callbacks import next_moment, slate_env
from agents.explain import greedy_slates, page_values
from agents.learned_policy import LearnedPolicy
from agents.picture_log import log_picture
from agents.planning import stream_seed
from envs.core import SlateCore
from envs.world import TaskConfig, World

__all__ = ["FIRST_PROBED_USER", "ValueCallback", "probe_values"]

FIRST_PROBED_USER = 2**41
"""Users that values are tried on; training, judgement and planners count theirs from far below."""


class ValueCallback(BaseCallback):
    """Predicted against realised return, as scalars and as a picture under `slate/value_...`.

    PPO's critic foretells the policy as it explores: its values and what came of them are taken from the rollouts.
    DQN's value is that of the greedy policy, which is played for a few users of their own: exploration would drag
    the outcomes down.

    Args:
        policy: Makes a greedy policy of the learner as it is.
        every: User-steps between points; pictures come no oftener than every eighth of the training.
        gamma: The learner's discount per page.
        bootstrap: Whether the learner values what lies beyond the step limit.
        n_users: Users whom the greedy policy serves, where it has to.
    """

    def __init__(
        self,
        policy: Callable[[], LearnedPolicy],
        every: int,
        *,
        gamma: float,
        bootstrap: bool,
        n_users: int = 32,
    ) -> None:
        super().__init__()
        self.policy, self.every = policy, every
        self.gamma, self.bootstrap, self.n_users = gamma, bootstrap, n_users
        self._sessions = SessionValues(gamma)
        self._found: list[ValuePairs] = []

    def _on_training_start(self) -> None:
        self._next, self._draw_next = next_moment(self.num_timesteps, self.every), self.num_timesteps
        self._step = slate_env(self).core.state.step.copy()
        self._forget_rollout()

    def _forget_rollout(self) -> None:
        self._steps: list[NDArray[Any]] = []
        self._rewards: list[NDArray[Any]] = []
        self._dones: list[NDArray[Any]] = []

    @property
    def _buffer(self) -> Any:
        return getattr(self.model, "rollout_buffer", None)

    def _on_rollout_start(self) -> None:
        self._forget_rollout()

    def _on_step(self) -> bool:
        if self._buffer is not None:
            env = slate_env(self)
            result = env.last_result
            assert result is not None
            self._steps.append(self._step)
            self._rewards.append(result.reward)
            self._dones.append(result.terminated | result.truncated)
            self._step = env.core.state.step.copy()
        elif self.num_timesteps >= self._next:
            self._write()
        return True

    def _on_rollout_end(self) -> None:
        if self._buffer is None:
            return
        start = time.perf_counter()
        rewards, dones = np.stack(self._rewards), np.stack(self._dones)
        values, credited = _numbers(self._buffer.values), _numbers(self._buffer.rewards)
        # At a step limit SB3's convention adds the discounted value of what lies beyond to the last reward.
        beyond = np.where(dones, credited - rewards, 0.0)
        beyond[np.abs(beyond) < 1e-4] = 0.0  # rewards are kept in single precision
        self._found.append(self._sessions.add(np.stack(self._steps), values, rewards, beyond, dones))
        self.model.stopwatch.add(watching=time.perf_counter() - start)  # type: ignore[attr-defined]
        if self.num_timesteps >= self._next:
            self._write()

    def _on_training_end(self) -> None:
        self._write(last=True)

    def _write(self, *, last: bool = False) -> None:
        start = time.perf_counter()
        self._next = next_moment(self.num_timesteps, self.every)
        if self._buffer is None:
            env = slate_env(self)
            pairs = probe_values(
                self.policy(),
                env.world,
                env.task,
                n_users=self.n_users,
                gamma=self.gamma,
                bootstrap=self.bootstrap,
            )
        else:
            pairs, self._found = ValuePairs.join(self._found), []
        if not pairs.step.shape[0]:
            return
        for tag, value in _figures(pairs).items():
            if np.isfinite(value):
                self.logger.record(f"slate/{tag}", value)
        if self.num_timesteps >= self._draw_next or last:
            self._draw_next = self.num_timesteps + self.model._total_timesteps // 8
            drawn = draw_calibration(pairs, f"{self.num_timesteps:,} user-steps")
            log_picture(self.logger, "slate/value_calibration", drawn, self.num_timesteps)
        self.logger.dump(self.num_timesteps)
        self.model.stopwatch.add(watching=time.perf_counter() - start)  # type: ignore[attr-defined]


def _figures(pairs: ValuePairs) -> dict[str, float]:
    found, first = calibrate(pairs), pairs.first_pages()
    figures = {
        "value_slope": found.slope,
        "value_intercept": found.intercept,
        "value_error": found.error,
        "value_bootstrapped": float(pairs.bootstrapped.sum() / max(abs(pairs.realised.sum()), 1e-9)),
    }
    if first.step.shape[0]:
        figures["value_predicted"] = float(first.predicted.mean())
        figures["value_realised"] = float(first.realised.mean())
    return figures


def _numbers(values: Any) -> NDArray[np.float64]:
    """The buffer's numbers, whether they are kept as arrays or as tensors on some device."""
    return np.asarray(values.cpu() if hasattr(values, "cpu") else values, np.float64)


def probe_values(
    policy: LearnedPolicy,
    world: World,
    task: TaskConfig,
    *,
    n_users: int,
    gamma: float,
    bootstrap: bool,
    seed: int = 0,
) -> ValuePairs:
    """What the network foretells of its own greedy policy, and what comes, in one session of each of some users.

    Args:
        policy: Greedy.
        world: Its users.
        task: Sizes, horizon and reward.
        n_users: Users, the same ones every time.
        gamma: The learner's discount per page.
        bootstrap: Whether the value of what lies beyond the step limit counts as return.
        seed: Key of the users' chance, which is a stream apart from training's.
    """
    core = SlateCore(world, task, n_users=n_users, seed=stream_seed(seed, 12), first_user=FIRST_PROBED_USER)
    observation = core.reset()
    over = np.zeros(n_users, np.bool_)
    columns: list[list[NDArray[Any]]] = [[] for _ in range(5)]
    while not over.all():
        slates, values = greedy_slates(policy, observation, task.slate_size)
        value, step = np.where(over, np.nan, values), core.state.step.copy()
        result = core.step(slates)
        beyond = np.zeros(n_users)
        cut = result.truncated[result.finished]
        if bootstrap and cut.any():
            beyond[result.finished[cut]] = gamma * page_values(
                policy, result.final_observation.take(np.flatnonzero(cut))
            )
        done = result.terminated | result.truncated
        row: tuple[NDArray[Any], ...] = (step, value, result.reward, beyond, done)
        for column, array in zip(columns, row, strict=True):
            column.append(array)
        over |= done
        observation = result.observation
    return SessionValues(gamma).add(*(np.stack(column) for column in columns))
