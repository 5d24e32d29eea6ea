"""`SlateEnv`: one simulated user at a time, as a Gymnasium environment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from behavior.errors import InputError
from envs.core import SlateCore
from envs.observation import Observation
from envs.render import slate_picture, slate_text
from envs.results import PART_NAMES, StepResult
from envs.spaces import action_space, observation_space
from envs.toy import toy_world
from envs.world import TaskConfig, World
from simulators.base import SessionState

__all__ = ["SlateEnv"]


class SlateEnv(gymnasium.Env[dict[str, NDArray[Any]], NDArray[np.int64]]):
    """Rank a page of products for a simulated shopper, page after page, until the shopper leaves.

    ## Description
    A session is one user's visit. At each step the user has a query; the agent orders `K` of `N` candidate
    products on a page; the user clicks and buys, and then goes on or leaves.

    ## Action Space
    `MultiDiscrete([N] * K)`: candidate positions in slate order. A repeated choice, or one of a padded candidate,
    takes the next unused candidate and is counted in `info["repairs"]`; with
    `TaskConfig(duplicates="error")` it raises.

    ## Observation Space
    A `Dict` of `Box`es; -1 means none.

    | key | shape | type | meaning |
    |---|---|---|---|
    | query | (1,) | int32 | row of the query table |
    | context | (F,) | float32 | what the shop knows of the user |
    | candidates | (N,) | int32 | catalogue rows, best first, -1 padding at the end |
    | scores | (N,) | float32 | click probability by the relevance model, 0 at padding |
    | seen | (N,) | float32 | how often this candidate was shown earlier in the session (255 at most) |
    | last_slate | (K,) | int32 | the previous page |
    | last_click | (K,) | float32 | 0 or 1 |
    | last_purchase | (K,) | float32 | 0 or 1 |
    | clicked | (H,) | int32 | the last H clicked products, newest first |
    | progress | (4,) | float32 | step/T, steps left/T, log(1 + clicks), log(1 + purchases) so far |
    | recent_items | (M,) | int32 | where `TaskConfig.memory` keeps pages: these, newest first, each in slate order |
    | recent_feedback | (M,) | float32 | of each place there: 0 shown only, 1 clicked, 2 bought |

    ## Rewards
    The mix of `TaskConfig.reward`: clicks, carts, purchases, revenue, margin, mean relevance, diversity, staying. The
    parts are in `info["reward_parts"]`, and `info["score"]` is click_weight x clicks + purchase_weight x purchases +
    revenue_weight x revenue of the page, by which policies are compared. `info` also has the user, the slate as it
    was shown, its clicks, carts, purchases and seconds of dwell, and what broken rules cost, where the task has rules.
    With `TaskConfig.pessimism`, `info["penalty"]` was taken off the reward.

    ## Starting State
    A new user with a first query. Users are numbered; `reset(seed=s)` starts again at `first_user`, `reset()`
    goes on to user + `stride`, and `options={"user": u}` asks for user u. A session depends on the seed and the
    user only.

    ## Episode End
    Terminated when the user leaves; truncated after `TaskConfig.max_steps` pages. `info["session"]` then holds
    user, reward, score, clicks, carts, purchases, revenue, margin, length and left.

    ## Arguments
    `gymnasium.make("envs:SlateRank-v0", world=..., task=..., seed=0, first_user=0, stride=1, render_mode=None)`.
    Without a world it is `envs.toy_world()`.

    ## Reference Returns
    None of its own: they depend on the world. `envs.tasks` has tasks with a world each, and their returns.

    ## Version History
    * v0: first version.
    """

    metadata: ClassVar[dict[str, Any]] = {  # type: ignore[misc]
        "render_modes": ["ansi", "rgb_array", "human"],
        "render_fps": 1,
    }
    observation_space: spaces.Space[Any]
    action_space: spaces.Space[Any]

    def __init__(
        self,
        world: World | None = None,
        task: TaskConfig | None = None,
        *,
        seed: int = 0,
        first_user: int = 0,
        stride: int = 1,
        render_mode: str | None = None,
    ) -> None:
        self.world = world if world is not None else toy_world()
        self.task = task or TaskConfig()
        check_render_mode(render_mode, self.metadata["render_modes"])
        self.render_mode = render_mode
        self.core = SlateCore(
            self.world,
            self.task,
            n_users=1,
            seed=seed,
            first_user=first_user,
            stride=stride,
            autoreset="disabled",
        )
        self.observation_space = observation_space(self.world, self.task)
        self.action_space = action_space(self.task)
        self._page: tuple[int, StepResult | None] = (-1, None)

    @property
    def state(self) -> SessionState:
        """The live state of the user (batch of one), for oracles."""
        return self.core.state

    def reset(
        self, *, seed: int | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Start the next user's session; `options={"user": u}` picks the user."""
        wanted = reset_options(options, "SlateEnv")
        users = np.array([wanted.pop("user")]) if "user" in wanted else None
        if wanted:
            raise InputError(
                f"unknown reset option {next(iter(wanted))!r}",
                where="SlateEnv.reset",
                mend="the option is 'user'",
            )
        observation = self.core.reset(seed, users)
        super().reset(seed=None if seed is None else int(seed))  # after the core has refused what is no seed
        self._page = (int(observation.query[0, 0]), None)
        return _first(observation), {"user": int(self.state.user[0])}

    def step(
        self, action: NDArray[np.integer[Any]]
    ) -> tuple[dict[str, NDArray[Any]], float, bool, bool, dict[str, Any]]:
        """Show the page `action` (K,), candidate positions in slate order."""
        core = self.core
        query = int(core.state.query[0])
        result = core.step(action[None] if isinstance(action, np.ndarray) else [action])
        self._page = (query, result)
        feedback = result.feedback
        info: dict[str, Any] = {
            "user": int(core.state.user[0]),
            "score": result.score.item(),
            "repairs": result.repairs.item(),
            "slate": result.slates[0],
            "click": feedback.click[0],
            "purchase": feedback.purchase[0],
            "reward_parts": dict(zip(PART_NAMES, result.parts[0].tolist(), strict=True)),
        }
        if feedback.cart is not None:
            info["cart"] = feedback.cart[0]
        if feedback.dwell is not None:
            info["dwell"] = feedback.dwell[0]
        if result.penalty is not None:
            info["penalty"] = result.penalty[0].item()
        if result.costs:
            info["costs"] = {name: cost.item() for name, cost in result.costs.items()}
        if result.finished.size:
            info["session"] = result.episodes.row(0)
        if self.render_mode == "human":
            print(self._text(), end="\n\n")
        return (
            _first(result.observation),
            result.reward.item(),
            result.terminated.item(),
            result.truncated.item(),
            info,
        )

    def save_state(self) -> dict[str, NDArray[Any]]:
        """All that changes from step to step, for `restore_state`; see `SlateCore.save_state`."""
        return self.core.save_state()

    def restore_state(self, saved: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Go on from what `save_state` gave, to the bit; gives the observation of the current page."""
        observation = self.core.restore_state(saved)
        self._page = (int(observation.query[0, 0]), None)
        return _first(observation)

    def action_masks(self) -> NDArray[np.bool_]:
        """(K * N,) choices that can be shown at all, position by position (the name sb3-contrib looks for)."""
        return np.tile(self.core.choices()[0], self.task.slate_size)

    def render(self) -> Any:
        """The last page: text for "ansi", an RGB array for "rgb_array"; "human" prints at each step."""
        if self.render_mode == "ansi":
            return self._text()
        if self.render_mode == "rgb_array":
            query, result = self._page
            return slate_picture(
                self.world,
                query=query,
                heading=self._heading(),
                n_rows=self.task.slate_size,
                **shown_page(result, 0),
            )
        return None

    def _text(self) -> str:
        query, result = self._page
        return slate_text(self.world, query=query, heading=self._heading(), **shown_page(result, 0))

    def _heading(self) -> str:
        user, page = int(self.state.user[0]), int(self.state.step[0])
        return f"user {user}, page {page} of at most {self.task.max_steps}"


def check_render_mode(mode: str | None, known: list[str]) -> None:
    """Raise InputError where `mode` is not one of `known`."""
    if mode is not None and mode not in known:
        raise InputError(f"render_mode is {mode!r}", where="render_mode", mend=f"choose one of {known}")


def reset_options(options: Any, face: str) -> dict[str, Any]:
    """A copy of the options of a reset; raise InputError where they are no dictionary."""
    if options is not None and not isinstance(options, Mapping):
        raise InputError(
            f"the reset options are {options!r}", where=f"{face}.reset", mend="give a dictionary, or None"
        )
    return dict(options or {})


def shown_page(result: StepResult | None, row: int) -> dict[str, Any]:
    """What `slate_text` and `slate_picture` need of one user's last page; an empty page before the first."""
    if result is None:
        return {"slate": np.empty(0, np.int32)}
    return {
        "slate": result.slates[row],
        "click": result.feedback.click[row],
        "cart": None if result.feedback.cart is None else result.feedback.cart[row],
        "purchase": result.feedback.purchase[row],
    }


def _first(observation: Observation) -> dict[str, NDArray[Any]]:
    return {name: array[0] for name, array in observation.as_dict().items()}
