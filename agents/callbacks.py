"""What is watched while a learner learns: curves, evaluations, checkpoints, a progress bar."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Image
from tqdm import tqdm

from agents.base import Policy
from envs.results import StepResult
from envs.sb3 import SlateVecEnv

__all__ = ["CheckpointCallback", "EvaluationCallback", "MetricsCallback"]


class MetricsCallback(BaseCallback):
    """Curves of what the users did, and where the time went.

    `rollout/`: return, score, clicks, purchases and length per finished session, diversity and relevance of the
    pages; `clicks_by_position/` and `purchases_by_position/`: rates; `speed/`: user-steps per second of the
    simulator, the policy, the update, and over all.

    Args:
        every: User-steps between points.
        total_steps: Length of the training, for the progress bar.
        progress: Whether to show one.
    """

    def __init__(self, every: int, total_steps: int, *, progress: bool = True) -> None:
        super().__init__()
        self.every, self.total_steps, self.progress = every, total_steps, progress
        self._bar: tqdm[Any] | None = None
        self._clear()

    def _clear(self) -> None:
        self._sessions: dict[str, list[NDArray[Any]]] = {}
        self._pages = 0
        self._parts: dict[str, float] = {}
        self._clicks: NDArray[Any] | float = 0.0
        self._purchases: NDArray[Any] | float = 0.0

    def _on_training_start(self) -> None:
        self._next = self.num_timesteps + self.every
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

    def _on_step(self) -> bool:
        env = self.training_env
        assert isinstance(env, SlateVecEnv)
        result = env.last_result
        assert result is not None
        self._note(result)
        if self._bar is not None:
            self._bar.update(min(self.num_timesteps, self.total_steps) - self._bar.n)
        if self.num_timesteps >= self._next:
            self._next = self.num_timesteps + self.every
            self._write()
        return True

    def _note(self, result: StepResult) -> None:
        self._pages += result.reward.shape[0]
        self._clicks = self._clicks + result.feedback.click.sum(0, dtype=np.int64)
        self._purchases = self._purchases + result.feedback.purchase.sum(0, dtype=np.int64)
        for name, values in result.reward_parts.as_dict().items():
            self._parts[name] = self._parts.get(name, 0.0) + float(values.sum())
        episodes = result.episodes
        for name in ("reward", "score", "clicks", "purchases", "length", "left"):
            self._sessions.setdefault(name, []).append(getattr(episodes, name))

    def _write(self) -> None:
        names = {"reward": "return", "left": "left_share"}
        for name, values in self._sessions.items():
            joined = np.concatenate(values)
            if joined.size:
                self.logger.record(f"rollout/{names.get(name, name)}", float(joined.mean()))
                if name == "score" and self._bar is not None:
                    self._bar.set_postfix(score=f"{joined.mean():.2f}")
        for name in ("diversity", "relevance", "revenue"):
            self.logger.record(f"rollout/page_{name}", self._parts[name] / self._pages)
        for k, (clicks, purchases) in enumerate(
            zip(np.atleast_1d(self._clicks), np.atleast_1d(self._purchases), strict=True)
        ):
            self.logger.record(f"clicks_by_position/{k + 1:02d}", float(clicks) / self._pages)
            self.logger.record(f"purchases_by_position/{k + 1:02d}", float(purchases) / self._pages)
        for name, rate in self.model.stopwatch.lap().items():  # type: ignore[attr-defined]
            self.logger.record(f"speed/{name}", rate)
        self.logger.dump(self.num_timesteps)
        self._clear()

    def _on_training_end(self) -> None:
        if self._pages:
            self._write()
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
        picture: Draws a page by the policy (height, width, 3), logged as `eval/slate`.
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
    ) -> None:
        super().__init__()
        self.evaluate, self.policy, self.every = evaluate, policy, every
        self.best_by, self.best = best_by, best_so_far
        self.save_best, self.reference_scores, self.picture = save_best, reference_scores, picture
        self.history: list[tuple[int, dict[str, float]]] = []

    def _on_training_start(self) -> None:
        self._next = self.num_timesteps + self.every
        self._judge()

    def _on_step(self) -> bool:
        if self.num_timesteps >= self._next:
            self._next = self.num_timesteps + self.every
            self._judge()
        return True

    def _on_training_end(self) -> None:
        self._judge()  # the last update comes after the last step

    def _judge(self) -> None:
        policy = self.policy()
        figures = {name: float(value) for name, value in self.evaluate(policy).items()}
        self.history.append((self.num_timesteps, figures))
        for name, value in figures.items():
            self.logger.record(f"eval/{name}", value)
        marks = self.reference_scores
        if marks and {"random", "oracle"} <= marks.keys() and marks["oracle"] != marks["random"]:
            share = (figures[self.best_by] - marks["random"]) / (marks["oracle"] - marks["random"])
            self.logger.record("eval/share_of_gap", share)
        if self.picture is not None:
            image = Image(self.picture(policy), "HWC")
            self.logger.record("eval/slate", image, exclude=("stdout", "log", "json", "csv"))
        self.logger.dump(self.num_timesteps)
        if figures[self.best_by] > self.best:
            self.best = figures[self.best_by]
            if self.save_best is not None:
                self.save_best(figures)


class CheckpointCallback(BaseCallback):
    """Save the learner every `every` user-steps.

    Args:
        save: Writes the checkpoint.
        every: User-steps.
    """

    def __init__(self, save: Callable[[], None], every: int) -> None:
        super().__init__()
        self.save, self.every = save, every

    def _on_training_start(self) -> None:
        self._next = self.num_timesteps + self.every

    def _on_step(self) -> bool:
        # At the beginning of a step's callbacks no update is under way, so weights and optimiser agree.
        if self.num_timesteps >= self._next:
            self._next = self.num_timesteps + self.every
            self.save()
        return True
