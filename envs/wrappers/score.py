"""`ScoreAction`: the agent gives every candidate a score."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from behavior.errors import InputError
from envs.checks import as_array
from envs.wrappers.base import Arrays, SingleEnv, slate_env

__all__ = ["ScoreAction"]


class ScoreAction(
    gymnasium.ActionWrapper[Arrays, NDArray[Any], NDArray[Any]], gymnasium.utils.RecordConstructorArgs
):
    """The action is a score for every candidate, `Box(-1, 1, (N,))`; the K highest are shown, highest first.

    For agents with continuous actions (SAC, TD3, TQC). Candidates that cannot be chosen are never shown; equal
    scores keep the source's order. Only the order of the scores counts: they may lie outside the box, but must be
    numbers.

    Args:
        env: A `SlateEnv`, wrapped or not.
    """

    def __init__(self, env: SingleEnv) -> None:
        gymnasium.utils.RecordConstructorArgs.__init__(self)
        super().__init__(env)
        self._inner = slate_env(env, "ScoreAction")
        self.action_space = spaces.Box(-1.0, 1.0, (self._inner.task.n_candidates,), np.float32)

    def action(self, action: NDArray[Any]) -> NDArray[Any]:
        """Candidate positions (K,) of the highest scores.

        Raises:
            InputError: Not one number per candidate; the environment is unchanged then.
        """
        scores, N = as_array(action), self._inner.task.n_candidates
        user = int(self._inner.state.user[0])
        if scores.shape != (N,) or not (
            np.issubdtype(scores.dtype, np.floating) or np.issubdtype(scores.dtype, np.integer)
        ):
            raise InputError(
                f"scores for user {user} are {scores.dtype} of shape {scores.shape}, "
                f"but must be numbers of shape {(N,)}",
                where="ScoreAction.step",
                mend="give one score per candidate",
            )
        faulty = np.isnan(scores)
        if faulty.any():
            at = int(faulty.argmax())
            raise InputError(
                f"the score for user {user} of the candidate at position {at} is {scores[at]}",
                where="ScoreAction.step",
                mend="give numbers; a candidate that should not be shown gets a low one (or -inf)",
            )
        may = self._inner.action_masks()[:N]
        order = np.argsort(-np.where(may, scores, -np.inf).astype(np.float64), kind="stable")
        # A candidate scored -inf still comes before one that cannot be chosen.
        return np.concatenate([order[may[order]], order[~may[order]]])[: self._inner.task.slate_size]
