"""Ends an SB3 training when its time is up, and lets its schedules see the end coming."""

from __future__ import annotations

from stable_baselines3.common.callbacks import BaseCallback

from benchmarks.skill.watch import Watch

__all__ = ["Deadline"]


class Deadline(BaseCallback):
    """Starts the watch again after evaluations, and stops the training when it has run out.

    It has to come after the callbacks that judge and save: what they take is then not counted.

    Step sizes and exploration fall with the share of the training that is left. Where time may end it before the steps
    are made, that share is the smaller of the two, or a training cut short would end with large steps.

    Args:
        watch: The watch.
    """

    def __init__(self, watch: Watch) -> None:
        super().__init__()
        self.watch = watch

    def _on_training_start(self) -> None:
        self.watch.go_on()
        if self.watch.budget.minutes is None:
            return
        by_steps = self.model._update_current_progress_remaining

        def by_both(num_timesteps: int, total_timesteps: int) -> None:
            by_steps(num_timesteps, total_timesteps)
            left = min(self.model._current_progress_remaining, self.watch.share_left)
            self.model._current_progress_remaining = left

        self.model._update_current_progress_remaining = by_both  # type: ignore[method-assign]

    def _on_rollout_start(self) -> None:
        self.watch.go_on()

    def _on_step(self) -> bool:
        return self.watch.share_left > 0.0
