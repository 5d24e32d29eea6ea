"""`SlateVectorEnv`: many simulated users side by side, as a Gymnasium vector environment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from behavior.errors import InputError
from envs.core import Autoreset, SlateCore
from envs.render import slate_picture, slate_text
from envs.results import StepResult
from envs.single import check_render_mode, reset_options, shown_page
from envs.spaces import action_space, observation_space
from envs.toy import toy_world
from envs.world import TaskConfig, World
from simulators.base import SessionState

__all__ = ["SlateVectorEnv"]

_AUTORESET: dict[AutoresetMode, Autoreset] = {
    AutoresetMode.SAME_STEP: "same_step",
    AutoresetMode.NEXT_STEP: "next_step",
    AutoresetMode.DISABLED: "disabled",
}


class SlateVectorEnv(VectorEnv[dict[str, NDArray[Any]], NDArray[np.int64], NDArray[Any]]):
    """`num_envs` users in one batch; see `SlateEnv` for spaces, rewards and episodes.

    What follows a finished session is the mode's choice; as everywhere in Gymnasium, `info["_key"]` masks the rows for
    which `info["key"]` speaks.

    - `AutoresetMode.SAME_STEP`: the next user's first page within the same step. The last observation is then in
      `info["final_obs"]`, the step's info and the session's sums in `info["final_info"]`.
    - `AutoresetMode.NEXT_STEP`: the next step starts the next user in that slot, whose action it ignores, for a
      reward of 0.
    - `AutoresetMode.DISABLED`: nothing; `reset(options={"reset_mask": done})` starts the next users in those slots.

    In the last two, `info["session"]` has the session's sums in the step that finished it.

    Args:
        num_envs: Users B.
        world: Users, candidates and tables; `toy_world()` where None.
        task: Sizes, horizon and reward.
        seed: Key of all chance, until `reset` names another.
        first_user: User of slot 0 in its first episode.
        autoreset_mode: What follows a finished session.
        render_mode: None, "ansi" or "rgb_array"; `render` gives one entry a user.
    """

    metadata: ClassVar[dict[str, Any]] = {  # type: ignore[misc]
        "render_modes": ["ansi", "rgb_array"],
        "render_fps": 1,
        "autoreset_mode": AutoresetMode.SAME_STEP,
    }

    def __init__(
        self,
        num_envs: int = 1,
        world: World | None = None,
        task: TaskConfig | None = None,
        *,
        seed: int = 0,
        first_user: int = 0,
        autoreset_mode: AutoresetMode | str = AutoresetMode.SAME_STEP,
        render_mode: str | None = None,
    ) -> None:
        self.world = world if world is not None else toy_world()
        self.task = task or TaskConfig()
        check_render_mode(render_mode, self.metadata["render_modes"])
        self.render_mode = render_mode
        self._mode = _checked_mode(autoreset_mode)
        self.metadata = {**self.metadata, "autoreset_mode": self._mode}  # type: ignore[misc]
        self.core = SlateCore(
            self.world,
            self.task,
            n_users=num_envs,
            seed=seed,
            first_user=first_user,
            autoreset=_AUTORESET[self._mode],
        )
        self.num_envs = num_envs
        self.single_observation_space = observation_space(self.world, self.task)
        self.single_action_space = action_space(self.task)
        self.observation_space: spaces.Space[Any] = batch_space(self.single_observation_space, num_envs)
        self.action_space: spaces.Space[Any] = batch_space(self.single_action_space, num_envs)
        self._page: tuple[NDArray[np.int32], StepResult | None] = (np.empty(0, np.int32), None)

    @property
    def state(self) -> SessionState:
        """The live state of the users, for oracles."""
        return self.core.state

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Start new sessions in all slots.

        Args:
            seed: One integer for the whole batch; users differ by their number.
            options: `users`: (B,) the user numbers to begin with; `reset_mask`: (B,) booleans, the slots to start
                anew, while the others stay where they are (no seed then).

        Raises:
            InputError: A list of seeds, or an unknown or impossible option.
        """
        if isinstance(seed, Sequence | np.ndarray) and not isinstance(seed, str):
            raise InputError(
                "seed is a sequence",
                where="SlateVectorEnv.reset",
                mend="give one integer for the whole batch",
            )
        wanted = reset_options(options, "SlateVectorEnv")
        users, mask = wanted.pop("users", None), wanted.pop("reset_mask", None)
        if wanted:
            raise InputError(
                f"unknown reset option {next(iter(wanted))!r}",
                where="SlateVectorEnv.reset",
                mend="the options are 'users' and 'reset_mask'",
            )
        observation = self.core.reset(seed, users, mask=mask)
        super().reset(seed=None if seed is None else int(seed))  # after the core has refused what is no seed
        self._page = (self.state.query.copy(), None)
        return observation.as_dict(), self._user_info(None if mask is None else np.array(mask))

    def step(
        self, actions: NDArray[np.integer[Any]]
    ) -> tuple[
        dict[str, NDArray[Any]], NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]
    ]:
        """Show the pages `actions` (B, K)."""
        core = self.core
        query, user, rested = core.state.query.copy(), core.state.user.copy(), core.over
        result = core.step(actions)
        self._page = (query, result)
        feedback = result.feedback
        values: dict[str, Any] = {
            "score": result.score,
            "repairs": result.repairs,
            "slate": result.slates,
            "click": feedback.click,
            "purchase": feedback.purchase,
            "reward_parts": result.reward_parts.as_dict(),
        }
        if feedback.cart is not None:
            values["cart"] = feedback.cart
        if feedback.dwell is not None:
            values["dwell"] = feedback.dwell
        if result.penalty is not None:
            values["penalty"] = result.penalty
        if result.costs:
            values["costs"] = dict(result.costs)
        done = result.terminated | result.truncated
        ended = self._mode is AutoresetMode.SAME_STEP
        info = self._user_info() | _masked(values, ~done if ended else ~rested)
        if result.finished.size:
            session = np.full(self.num_envs, None, object)
            session[result.finished] = result.episodes.rows()
            if ended:
                final = np.full(self.num_envs, None, object)
                final[result.finished] = result.final_observation.rows()
                info |= {"final_obs": final, "_final_obs": done}
                info["final_info"] = _masked({"user": user, **values, "session": session}, done)
                info["_final_info"] = done
            else:
                info |= {"session": session, "_session": done}
        return result.observation.as_dict(), result.reward, result.terminated, result.truncated, info

    def save_state(self) -> dict[str, NDArray[Any]]:
        """All that changes from step to step, for `restore_state`; see `SlateCore.save_state`."""
        return self.core.save_state()

    def restore_state(self, saved: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Go on from what `save_state` gave, to the bit; gives the observation of the current pages."""
        observation = self.core.restore_state(saved)
        self._page = (self.state.query.copy(), None)
        return observation.as_dict()

    def render(self) -> tuple[Any, ...] | None:
        """The last page of every user, as text or as RGB arrays."""
        if self.render_mode is None:
            return None
        draw = slate_text if self.render_mode == "ansi" else slate_picture
        queries, result = self._page
        return tuple(draw(self.world, query=int(q), **shown_page(result, b)) for b, q in enumerate(queries))

    def _user_info(self, mask: NDArray[np.bool_] | None = None) -> dict[str, Any]:
        told = np.ones(self.num_envs, np.bool_) if mask is None else mask
        return {"user": self.state.user.copy(), "_user": told}


def _checked_mode(mode: AutoresetMode | str) -> AutoresetMode:
    try:
        return AutoresetMode(mode)
    except ValueError:
        raise InputError(
            f"autoreset_mode is {mode!r}",
            where="SlateVectorEnv",
            mend=f"choose one of {', '.join(str(known) for known in AutoresetMode)}",
        ) from None


def _masked(values: Mapping[str, Any], mask: NDArray[np.bool_]) -> dict[str, Any]:
    """`values` with Gymnasium's `_key` masks, all equal to `mask`."""
    info: dict[str, Any] = {}
    for name, value in values.items():
        info[name] = _masked(value, mask) if isinstance(value, dict) else value
        info[f"_{name}"] = mask
    return info
