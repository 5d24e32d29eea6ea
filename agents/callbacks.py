"""What is watched while a learner learns: curves, evaluations, checkpoints, a progress bar."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.callbacks import BaseCallback
from tqdm import tqdm

from agents.base import Policy
from agents.clock import Stopwatch
from agents.exploration import exploration
from agents.page_tally import PageTally
from agents.picture_log import log_picture
from envs.results import StepResult
from envs.sb3 import SlateVecEnv

__all__ = [
    "CheckpointCallback",
    "EvaluationCallback",
    "MetricsCallback",
    "next_moment",
    "slate_env",
]

_SB3_NAMES = {"reward": "mean_reward", "length": "mean_ep_length"}


def slate_env(callback: BaseCallback) -> SlateVecEnv:
    """The environment that the callback's learner learns in."""
    env = callback.training_env
    assert isinstance(env, SlateVecEnv)
    return env


class MetricsCallback(BaseCallback):
    """Curves of what the users did, and where the time went; `docs/tensorboard.md` says what each tag means.

    `rollout/ep_rew_mean`, `rollout/ep_len_mean` and `time/fps` as SB3 has them; `slate/`: what finished sessions
    brought, clicks and purchases by position, diversity, relevance, coverage and repetition of the pages, exploration;
    `time/`: how the time divides among simulator, policy, update and this watching.

    Args:
        every: User-steps between points.
        total_steps: Length of the training, for the progress bar.
        progress: Whether to show one.
        probed: At most so many users' last page tells of exploration; the greedy rule is asked once a point.
    """

    def __init__(self, every: int, total_steps: int, *, progress: bool = True, probed: int = 64) -> None:
        super().__init__()
        self.every, self.total_steps, self.progress, self.probed = every, total_steps, progress, probed
        self._bar: tqdm[Any] | None = None

    def _on_training_start(self) -> None:
        env = slate_env(self)
        self._next = next_moment(self.num_timesteps, self.every)
        self._tally = PageTally(env.world.features.n_items)
        self._before = env.core.observe()
        self._stopwatch.lap()  # nothing before the first step counts
        if self.progress:
            self._bar = tqdm(
                total=self.total_steps,
                initial=self.num_timesteps,
                desc="training",
                unit=" steps",
                unit_scale=True,
                leave=False,
                disable=None,
                mininterval=0.5,
            )

    @property
    def _stopwatch(self) -> Stopwatch:
        stopwatch: Stopwatch = self.model.stopwatch  # type: ignore[attr-defined]
        return stopwatch

    def _on_step(self) -> bool:
        start = time.perf_counter()
        result = slate_env(self).last_result
        assert result is not None
        self._tally.add(self._before, result)
        due = self.num_timesteps >= self._next
        if due:
            self._next = next_moment(self.num_timesteps, self.every)
            self._explored(result)
        self._before = result.observation
        if self._bar is not None:
            self._bar.update(min(self.num_timesteps, self.total_steps) - self._bar.n)
        self._stopwatch.add(watching=time.perf_counter() - start)
        if due:
            self._write()
        return True

    def _explored(self, result: StepResult) -> None:
        rows = slice(0, self.probed)
        device = self.model.device
        pages = {
            name: torch.as_tensor(array[rows], device=device)
            for name, array in self._before.as_dict().items()
        }
        slates = torch.as_tensor(result.positions[rows], device=device)
        for tag, value in exploration(self.model.policy, pages, slates).items():
            self.logger.record(tag, value)
        if hasattr(self.model, "exploration_rate"):
            self.logger.record("rollout/exploration_rate", float(self.model.exploration_rate))

    def _write(self) -> None:
        start = time.perf_counter()
        figures = self._tally.figures()
        for tag, value in figures.items():
            self.logger.record(tag, value)
        if self._bar is not None and "slate/score" in figures:
            self._bar.set_postfix(score=f"{figures['slate/score']:.2f}")
        for name, rate in self._stopwatch.lap().items():
            self.logger.record(f"time/{name}", rate)
        self.logger.dump(self.num_timesteps)
        self._tally = PageTally(slate_env(self).world.features.n_items)
        self._stopwatch.add(watching=time.perf_counter() - start)  # of the new lap

    def flush(self) -> None:
        """Write the point under way, so that nothing of it has to be kept in a checkpoint."""
        if self._tally.n_pages:
            self._write()

    def _on_training_end(self) -> None:
        self.flush()
        self.close()

    def close(self) -> None:
        """Close the progress bar."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


class EvaluationCallback(BaseCallback):
    """Judge the policy on held-out users now and then, and keep the best.

    Args:
        evaluate: Policy -> figures, among them `best_by`.
        policy: Makes a policy of the learner as it is.
        every: User-steps between evaluations.
        best_by: The figure that decides.
        best_so_far: Its best value before.
        save_best: Called with the figures when they are the best so far.
        reference_scores: 'random' and 'oracle', for `eval/share_of_gap`.
        picture: Draws pages by the policy (height, width, 3), logged as `slate/first_pages`: at the first evaluation
            and the last, and in between no oftener than every eighth of the training (TensorBoard keeps ten).
        at_start: Whether to judge before the first step; a resumed run has done so already.
    """

    def __init__(
        self,
        evaluate: Callable[[Policy], Mapping[str, float]],
        policy: Callable[[], Policy],
        *,
        every: int,
        best_by: str = "score",
        best_so_far: float = -np.inf,
        save_best: Callable[[Mapping[str, float]], None] | None = None,
        reference_scores: Mapping[str, float] | None = None,
        picture: Callable[[Policy], NDArray[np.uint8]] | None = None,
        at_start: bool = True,
    ) -> None:
        super().__init__()
        self.evaluate, self.policy, self.every = evaluate, policy, every
        self.at_start = at_start
        self.best_by, self.best = best_by, best_so_far
        self.save_best, self.reference_scores, self.picture = save_best, reference_scores, picture
        self.history: list[tuple[int, dict[str, float]]] = []

    def _on_training_start(self) -> None:
        self._next = next_moment(self.num_timesteps, self.every)
        self._draw_next = self.num_timesteps
        if self.at_start:
            self._judge()

    def _on_rollout_start(self) -> None:
        if self.num_timesteps >= self._next:
            self._next = next_moment(self.num_timesteps, self.every)
            self._judge()

    def _on_step(self) -> bool:
        return True

    def _on_training_end(self) -> None:
        self._draw_next = self.num_timesteps
        self._judge()  # the last update comes after the last step

    def _judge(self) -> None:
        start = time.perf_counter()
        stopwatch: Stopwatch = self.model.stopwatch  # type: ignore[attr-defined]
        policy = self.policy()
        figures = {name: float(value) for name, value in self.evaluate(policy).items()}
        self.history.append((self.num_timesteps, figures))
        for name, value in figures.items():
            self.logger.record(f"eval/{_SB3_NAMES.get(name, name)}", value)
        marks = self.reference_scores
        if marks and {"random", "oracle"} <= marks.keys() and marks["oracle"] != marks["random"]:
            share = (figures[self.best_by] - marks["random"]) / (marks["oracle"] - marks["random"])
            self.logger.record("eval/share_of_gap", share)
        drawing = time.perf_counter()
        if self.picture is not None and self.num_timesteps >= self._draw_next:
            self._draw_next = self.num_timesteps + self.model._total_timesteps // 8
            log_picture(self.logger, "slate/first_pages", self.picture(policy), self.num_timesteps)
        self.logger.dump(self.num_timesteps)
        drawn = time.perf_counter()
        if figures[self.best_by] > self.best:
            self.best = figures[self.best_by]
            if self.save_best is not None:
                self.save_best(figures)
        stopwatch.add(evaluation=time.perf_counter() - start - (drawn - drawing), watching=drawn - drawing)


class CheckpointCallback(BaseCallback):
    """Save the learner every `every` user-steps.

    It saves before a rollout begins: no update is under way then, and no page is without its consequences, so
    neither half an update nor half a rollout has to be kept.

    Args:
        save: Writes the checkpoint.
        every: User-steps.
        stop: Asked at each of these moments; True saves and ends the training by `KeyboardInterrupt`.
    """

    def __init__(self, save: Callable[[], None], every: int, *, stop: Callable[[], bool]) -> None:
        super().__init__()
        self.save, self.every, self.stop = save, every, stop

    def _on_training_start(self) -> None:
        self._next = next_moment(self.num_timesteps, self.every)

    def _on_rollout_start(self) -> None:
        stop = self.stop()
        if stop or self.num_timesteps >= self._next:
            self._next = next_moment(self.num_timesteps, self.every)
            self.save()
        if stop:
            raise KeyboardInterrupt

    def _on_step(self) -> bool:
        return True


def next_moment(step: int, every: int) -> int:
    """The first multiple of `every` after `step`: the same moments, whether or not a run was resumed."""
    return (step // every + 1) * every
