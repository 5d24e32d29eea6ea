"""`SlateVecEnv`: the batched core as a Stable-Baselines3 `VecEnv`. Importing this module imports torch."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import VecEnv

from behavior.errors import InputError
from envs.core import SlateCore
from envs.render import slate_picture, slate_text
from envs.results import StepResult
from envs.single import check_render_mode, shown_page
from envs.spaces import action_space, observation_space
from envs.toy import toy_world
from envs.world import TaskConfig, World
from simulators.base import SessionState

__all__ = ["SlateVecEnv"]


class SlateVecEnv(VecEnv):
    """`n_envs` users in one batch for SB3's learners; see `SlateEnv` for spaces, rewards and episodes.

    Infos are built for finished users only: `terminal_observation`, `TimeLimit.truncated`, `episode` (as
    `Monitor` writes it) and `session` (all sums); the others get an empty dict. What a learner of our own needs
    of every step is in `last_result`.

    Args:
        n_envs: Users B.
        world: Users, candidates and tables; `toy_world()` where None.
        task: Sizes, horizon and reward.
        seed: Key of all chance, until `seed()` names another.
        first_user: User of slot 0 in its first episode.
        render_mode: None, "ansi" or "rgb_array".
    """

    def __init__(
        self,
        n_envs: int,
        world: World | None = None,
        task: TaskConfig | None = None,
        *,
        seed: int = 0,
        first_user: int = 0,
        render_mode: str | None = None,
    ) -> None:
        self.world = world if world is not None else toy_world()
        self.task = task or TaskConfig()
        check_render_mode(render_mode, ["ansi", "rgb_array"])
        self.render_mode = render_mode
        self.core = SlateCore(self.world, self.task, n_users=n_envs, seed=seed, first_user=first_user)
        self.last_result: StepResult | None = None
        self._actions: NDArray[Any] | None = None
        self._shown_query = np.full(n_envs, -1, np.int32)
        self._began = time.time()
        super().__init__(n_envs, observation_space(self.world, self.task), action_space(self.task))

    @property
    def state(self) -> SessionState:
        """The live state of the users, for oracles."""
        return self.core.state

    @property
    def users(self) -> NDArray[np.int64]:
        """(B,) the users now in the slots."""
        return self.core.state.user

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        """The key of all chance from the next reset on; None: one drawn from NumPy's global generator, as SB3 does.

        Raises:
            InputError: The seed is no whole number.
        """
        if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int | np.integer)):
            raise InputError(
                f"seed is {seed}",
                where="SlateVecEnv.seed",
                mend="give one integer for the whole batch, or None",
            )
        return super().seed(seed)

    def reset(self) -> dict[str, NDArray[Any]]:
        """Start new sessions in all slots: from `first_user` again after `seed()`, else with the next users.

        `set_options([{"user": u}, ...])` beforehand, one for each slot, picks the users.

        Raises:
            InputError: A seed out of range, or unknown or incomplete options; they are forgotten then.
        """
        seed, options = self._seeds[0], self._options
        self._reset_seeds()
        self._reset_options()
        observation = self.core.reset(seed, _asked_users(options))
        self.last_result = None
        self.reset_infos = [{"user": user} for user in self.users.tolist()]
        return observation.as_dict()

    def step_async(self, actions: NDArray[Any]) -> None:
        """Take the actions (B, K); `step_wait` shows them."""
        self._actions = actions

    def step_wait(
        self,
    ) -> tuple[dict[str, NDArray[Any]], NDArray[np.float32], NDArray[np.bool_], list[dict[str, Any]]]:
        """Show the pages; gives observations (B, ...), rewards (B,), dones (B,) and infos."""
        if self._actions is None:
            raise InputError("there are no actions", where="SlateVecEnv", mend="call step_async() first")
        actions, self._actions = self._actions, None
        np.copyto(self._shown_query, self.core.state.query)
        result = self.core.step(actions)
        self.last_result = result
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        if result.finished.size:
            elapsed = round(time.time() - self._began, 6)
            truncated = result.truncated[result.finished].tolist()
            told = zip(
                result.finished.tolist(),
                result.final_observation.rows(),
                result.episodes.rows(),
                truncated,
                strict=True,
            )
            for b, last, session, cut in told:
                infos[b] = {
                    "terminal_observation": last,
                    "TimeLimit.truncated": cut,
                    "episode": {"r": session["reward"], "l": session["length"], "t": elapsed},
                    "session": session,
                }
        done = result.terminated | result.truncated
        return result.observation.as_dict(), result.reward.astype(np.float32), done, infos

    def save_state(self) -> dict[str, NDArray[Any]]:
        """All that changes from step to step, for `restore_state`; see `SlateCore.save_state`."""
        return self.core.save_state()

    def restore_state(self, saved: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Go on from what `save_state` gave, to the bit; gives the observation of the current pages."""
        observation = self.core.restore_state(saved)
        self.last_result = None
        return observation.as_dict()

    def close(self) -> None:
        """Nothing to release."""

    def action_masks(self) -> NDArray[np.bool_]:
        """(B, K * N) choices that can be shown at all (the name sb3-contrib looks for)."""
        return np.tile(self.core.choices(), (1, self.task.slate_size))

    def get_attr(self, attr_name: str, indices: int | Iterable[int] | None = None) -> list[Any]:
        """The attribute for each slot in `indices`; all slots share the environment's."""
        return [getattr(self, attr_name) for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: int | Iterable[int] | None = None) -> None:
        """Set an attribute of the whole batch.

        Raises:
            InputError: Only some slots are named.
        """
        if len(list(self._get_indices(indices))) != self.num_envs:
            raise InputError(
                f"{attr_name} cannot be set for some users only",
                where="SlateVecEnv.set_attr",
                mend="leave indices out: the users share one batch",
            )
        setattr(self, attr_name, value)

    def env_method(
        self,
        method_name: str,
        *method_args: Any,
        indices: int | Iterable[int] | None = None,
        **method_kwargs: Any,
    ) -> list[Any]:
        """`render` or `action_masks` of each slot in `indices`.

        Raises:
            InputError: Any other method: the users share one batch.
        """
        slots = list(self._get_indices(indices))
        if method_name == "render":
            return [self._draw(b) for b in slots]
        if method_name == "action_masks":
            return list(self.action_masks()[slots])
        raise InputError(
            f"a user of the batch has no method {method_name!r}",
            where="SlateVecEnv.env_method",
            mend="call 'render' or 'action_masks', or the method of the SlateVecEnv itself",
        )

    def env_is_wrapped(
        self,
        wrapper_class: type[gymnasium.Wrapper[Any, Any, Any, Any]],
        indices: int | Iterable[int] | None = None,
    ) -> list[bool]:
        """True for `Monitor`, whose `episode` infos this environment writes itself; else False."""
        return [issubclass(wrapper_class, Monitor) for _ in self._get_indices(indices)]

    def get_images(self) -> Sequence[NDArray[np.uint8] | None]:
        """The last page of every user as RGB arrays."""
        return [self._draw(b) for b in range(self.num_envs)]

    def _draw(self, row: int) -> Any:
        if self.render_mode is None:
            return None
        draw = slate_text if self.render_mode == "ansi" else slate_picture
        return draw(self.world, query=int(self._shown_query[row]), **shown_page(self.last_result, row))


def _asked_users(options: list[dict[str, Any]]) -> NDArray[Any] | None:
    """The users that SB3's reset options ask for, one a slot; None where they ask for nothing."""
    if not any(options):
        return None
    if any(not isinstance(option, Mapping) or set(option) != {"user"} for option in options):
        raise InputError(
            f"the reset options are {options}",
            where="SlateVecEnv.reset",
            mend="give every slot the option 'user', and no other, or none at all",
        )
    return np.array([option["user"] for option in options])
