"""`RecordSessions`: writes down what happens in an environment, as an interaction log."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from behavior.errors import InputError
from envs.observation import Observation
from envs.recorder import Propensities, SessionRecorder, ShownPages
from envs.wrappers.base import Arrays, SingleEnv, observed_dict, slate_env

__all__ = ["RecordSessions"]

Propensity = Callable[[Observation, NDArray[np.int64]], Propensities | None]


class RecordSessions(gymnasium.Wrapper[Arrays, Any, Arrays, Any], gymnasium.utils.RecordConstructorArgs):
    """Every page that is shown goes into a log, whoever acts; observation, reward and action are left alone.

    Args:
        env: A `SlateEnv`, wrapped or not, whose observation is still a dictionary.
        recorder: Collects the pages: read it with `recorder.log()`. Or a new file (.parquet or .csv), written with
            its companion table of candidates when the environment is closed.
        propensity: Gives the exact propensities of candidate positions (1, K) under the acting policy
            (`policy.propensity`, for a policy of `agents`); None: the log's propensities stay empty.
        policy_id: Who acts.

    Raises:
        InputError: The file is there already, or has another suffix.

    Example:
        `env = RecordSessions(env, "sessions.parquet", propensity=policy.propensity, policy_id=policy.name)`
    """

    def __init__(
        self,
        env: SingleEnv,
        recorder: SessionRecorder | Path | str,
        *,
        propensity: Propensity | None = None,
        policy_id: str = "",
    ) -> None:
        gymnasium.utils.RecordConstructorArgs.__init__(
            self, _disable_deepcopy=True, recorder=recorder, propensity=propensity, policy_id=policy_id
        )
        super().__init__(env)
        self._inner = slate_env(env, "RecordSessions")
        observed_dict(env, "RecordSessions")
        if not isinstance(recorder, SessionRecorder | Path | str):
            raise InputError(
                f"recorder is {recorder!r}",
                where="RecordSessions",
                mend="give a SessionRecorder, or the path of the log to be written",
            )
        self._path: Path | None = None
        if isinstance(recorder, SessionRecorder):
            self.recorder = recorder
        else:
            self._path = _new_log(Path(recorder))
            self.recorder = SessionRecorder(self._inner.world, self._inner.task)
        self._propensity = propensity
        self._policy_id = policy_id
        self._observation: Arrays = {}
        self._pages = 0  # of this session

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Arrays, dict[str, Any]]:
        """Start the next session."""
        observation, info = self.env.reset(seed=seed, options=options)
        self._observation, self._pages = _copied(observation), 0
        return observation, info

    def step(self, action: Any) -> tuple[Arrays, float, bool, bool, dict[str, Any]]:
        """Step, and write down the page (there is none yet inside `SlotBySlot`)."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        if "slate" in info:
            self._write(info, bool(terminated), bool(truncated))
            self._observation = _copied(observation)
            self._pages += 1
        return observation, float(reward), terminated, truncated, info

    def close(self) -> None:
        """Write the file, if one was asked for and anything happened, and close the environment."""
        path, self._path = self._path, None
        if path is not None and self.recorder.n_pages:
            self.recorder.log().write(path)
        super().close()

    def _write(self, info: dict[str, Any], terminated: bool, truncated: bool) -> None:
        seen = Observation.from_dict(self._observation)  # (1, ...) what was known when the page was chosen
        slate = np.asarray(info["slate"], np.int32)
        positions = (seen.candidates[0][None, :] == slate[:, None]).argmax(axis=1)  # (K,)
        clean = info["repairs"] == 0
        known = self._propensity(seen, positions[None]) if self._propensity and clean else None
        self.recorder.add_pages(
            ShownPages(
                user=np.array([info["user"]], np.int64),
                step=np.array([self._pages], np.int64),
                query=seen.query[:, 0],
                context=seen.context,
                candidates=seen.candidates,
                slate=slate[None],
                click=np.asarray(info["click"], np.uint8)[None],
                purchase=np.asarray(info["purchase"], np.uint8)[None],
                terminated=np.array([terminated]),
                truncated=np.array([truncated]),
                repairs=np.array([info["repairs"]], np.int32),
                propensity=known,
                policy_id=self._policy_id,
                dwell=np.asarray(info["dwell"], np.float32)[None] if "dwell" in info else None,
            )
        )


def _copied(observation: Arrays) -> Arrays:
    return {name: array.copy() for name, array in observation.items()}


def _new_log(path: Path) -> Path:
    if path.suffix not in (".parquet", ".csv"):
        raise InputError(
            f"a log is not written as '{path.suffix}'", where=str(path), mend="choose .parquet or .csv"
        )
    if path.exists():
        raise InputError("there is a file already", where=str(path), mend="choose another name, or move it")
    return path
