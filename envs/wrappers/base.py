"""What the wrappers share: the environment inside, and readings of what an agent sent."""

from __future__ import annotations

from typing import Any

import gymnasium
from numpy.typing import NDArray

from behavior.errors import InputError
from envs.single import SlateEnv

__all__ = ["Arrays", "SingleEnv", "observed_dict", "slate_env"]

Arrays = dict[str, NDArray[Any]]
SingleEnv = gymnasium.Env[Arrays, Any]


def slate_env(env: gymnasium.Env[Any, Any], wrapper: str) -> SlateEnv:
    """The `SlateEnv` at the bottom of the stack.

    Raises:
        InputError: There is another environment.
    """
    inner = env.unwrapped
    if not isinstance(inner, SlateEnv):
        raise InputError(
            f"{wrapper} wraps a SlateEnv, not a {type(inner).__name__}",
            where=wrapper,
            mend="make the environment with gymnasium.make('envs:SlateRank-v0') or envs.SlateEnv",
        )
    return inner


def observed_dict(env: gymnasium.Env[Any, Any], wrapper: str) -> gymnasium.spaces.Dict:
    """The observation space of `env`, which must still be the environment's dictionary.

    Raises:
        InputError: A wrapper further in has made a vector of it.
    """
    space = env.observation_space
    if not isinstance(space, gymnasium.spaces.Dict):
        raise InputError(
            f"{wrapper} needs the observation as a dictionary, but finds {space}",
            where=wrapper,
            mend=f"put {wrapper} inside the wrapper that changes the observation, not around it",
        )
    return space
