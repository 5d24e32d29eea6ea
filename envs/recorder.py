"""`SessionRecorder`: writes simulated sessions as an interaction log with exact propensities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from behavior.errors import InputError
from envs.core import SlateCore
from envs.observation import Observation
from envs.results import StepResult
from envs.world import TaskConfig, World
from simulators.base import SessionState

if TYPE_CHECKING:
    import pandas as pd

    from behavior import InteractionLog

__all__ = ["PolicyDraw", "Propensities", "Ranker", "SessionRecorder"]


@dataclass(frozen=True)
class PolicyDraw:
    """The key of a policy's chance; the shape of `agents.base.Draw`, which stands to the right of this room."""

    seed: int
    user: NDArray[np.int64]  # (B,)
    step: NDArray[np.int32]  # (B,)


class Propensities(Protocol):
    """What `agents.base.SlatePropensity` carries."""

    @property
    def item(self) -> NDArray[np.float64]:
        """(B, K) of this item at this position."""

    @property
    def cascade(self) -> NDArray[np.float64]:
        """(B, K) of the slate down to here."""

    @property
    def slate(self) -> NDArray[np.float64]:
        """(B,) of the whole slate."""


class Ranker(Protocol):
    """The part of `agents.base.Policy` that the recorder uses."""

    name: str

    def rank(
        self, observation: Observation, draw: Any, *, slate_size: int, state: SessionState | None = None
    ) -> NDArray[np.int64]:
        """Candidate positions (B, K)."""

    def propensity(self, observation: Observation, actions: NDArray[np.int64]) -> Propensities | None:
        """Exact propensities of `actions`; None where unknown."""


class SessionRecorder:
    """Collects pages and gives them back as the two tables of a log.

    Args:
        world: Where the sessions take place; its query texts and prices go into the log.
        task: The task of the sessions.
        item_ids: Product ids by catalogue row; the row numbers where None.
        start: Time of user 0's first page, UTC.
        seconds_between_users: From one user's first page to the next user's.
        seconds_between_pages: From page to page of a session.

    Example:
        `log = SessionRecorder(world, task).record(policy, n_sessions=1000, seed=1).log()`
    """

    def __init__(
        self,
        world: World,
        task: TaskConfig,
        *,
        item_ids: Sequence[str] | None = None,
        start: str = "2026-01-05T09:00:00",
        seconds_between_users: int = 60,
        seconds_between_pages: int = 30,
    ) -> None:
        self.world, self.task = world, task
        ids = [str(row) for row in range(world.features.n_items)] if item_ids is None else list(item_ids)
        if len(ids) != world.features.n_items:
            raise InputError(
                f"{len(ids)} item ids for {world.features.n_items} items",
                where="SessionRecorder",
                mend="give one id per catalogue row",
            )
        self._ids = np.array(ids, object)
        n_queries = world.features.n_queries
        texts = world.queries or tuple(f"query {q}" for q in range(n_queries))
        self._queries = np.array([*texts, ""], object)  # -1 is the recommendation page
        self._start = np.datetime64(start, "s")
        self._gaps = (seconds_between_users, seconds_between_pages)
        self._pages: list[dict[str, NDArray[Any]]] = []

    def record(
        self,
        policy: Ranker,
        *,
        n_sessions: int,
        seed: int = 0,
        policy_seed: int = 0,
        first_user: int = 0,
        batch: int = 256,
        progress: bool = True,
    ) -> SessionRecorder:
        """Let users `first_user .. first_user + n_sessions - 1` live one session each under `policy`.

        Args:
            policy: Who ranks; a privileged one is given the hidden state.
            n_sessions: How many users.
            seed: Key of the users' chance.
            policy_seed: Key of the policy's chance.
            first_user: The first of them.
            batch: Users side by side; changes nothing but the speed.
            progress: Whether to show a bar.
        """
        core = SlateCore(
            self.world, self.task, n_users=min(batch, n_sessions), seed=seed, first_user=first_user
        )
        end = first_user + n_sessions
        observation = core.reset()
        privileged = bool(getattr(policy, "privileged", False))
        with tqdm(
            total=n_sessions, desc="recording sessions", unit="session", disable=None if progress else True
        ) as bar:
            while (core.state.user < end).any():
                user, step = core.state.user.copy(), core.state.step.copy()
                actions = policy.rank(
                    observation,
                    PolicyDraw(policy_seed, user, step),
                    slate_size=self.task.slate_size,
                    state=core.state.copy() if privileged else None,
                )
                propensity = policy.propensity(observation, actions)
                result = core.step(actions)
                self.add(
                    observation=observation,
                    user=user,
                    step=step,
                    result=result,
                    propensity=propensity,
                    policy_id=policy.name,
                    rows=np.flatnonzero(user < end),
                )
                bar.update(int((result.episodes.user < end).sum()))
                observation = result.observation
        return self

    def add(
        self,
        *,
        observation: Observation,
        user: NDArray[np.int64],
        step: NDArray[np.int32],
        result: StepResult,
        propensity: Propensities | None = None,
        policy_id: str = "",
        rows: NDArray[np.int64] | None = None,
    ) -> None:
        """Add one step of a batch.

        Args:
            observation: What the policy saw, (B, ...).
            user: (B,) users, before the step.
            step: (B,) their pages so far, before the step.
            result: What `SlateCore.step` gave back.
            propensity: Of the actions; not written for slates that had to be repaired, whose probability under
                the policy is another one.
            policy_id: Who ranked.
            rows: The users to write; all where None.
        """
        at = np.arange(user.shape[0]) if rows is None else rows
        B, K = result.slates.shape
        unknown = np.full((B, K), np.nan)
        clean = (result.repairs == 0)[:, None]
        slate = unknown if propensity is None else np.repeat(propensity.slate[:, None], K, axis=1)
        end = np.where(result.terminated, "left", np.where(result.truncated, "limit", "")).astype(object)
        self._pages.append(
            {
                "user": user[at],
                "step": step[at].astype(np.int64),
                "query": observation.query[at, 0],
                "context": observation.context[at],
                "candidates": observation.candidates[at],
                "slate": result.slates[at],
                "click": result.feedback.click[at],
                "purchase": result.feedback.purchase[at],
                "end": end[at],
                "policy": np.full(at.size, policy_id, object),
                "propensity": (unknown if propensity is None else np.where(clean, propensity.item, np.nan))[
                    at
                ],
                "cascade_propensity": (
                    unknown if propensity is None else np.where(clean, propensity.cascade, np.nan)
                )[at],
                "slate_propensity": np.where(clean, slate, np.nan)[at],
            }
        )

    def frames(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """The log (one row per shown item) and its companion table of candidates.

        Raises:
            InputError: Nothing was recorded.
        """
        import pandas as pd

        if not self._pages:
            raise InputError(
                "nothing was recorded", where="SessionRecorder", mend="call record() or add() first"
            )
        page = {name: np.concatenate([p[name] for p in self._pages]) for name in self._pages[0]}
        order = np.lexsort((page["step"], page["user"]))
        page = {name: array[order] for name, array in page.items()}
        M, K = page["slate"].shape
        users, pages = self._gaps
        seconds = page["user"] * users + page["step"] * pages
        time = pd.to_datetime(self._start + seconds.astype("timedelta64[s]"), utc=True)
        session = np.array([f"s{user}" for user in page["user"]], object)
        item = page["slate"].ravel()
        each = np.repeat(np.arange(M), K)
        columns: dict[str, Any] = {
            "session_id": session[each],
            "user_id": np.array([f"u{user}" for user in page["user"]], object)[each],
            "step": page["step"][each],
            "timestamp": time[each],
            "query": self._queries[page["query"]][each],
            "position": np.tile(np.arange(K), M),
            "item_id": self._ids[item],
            "click": page["click"].ravel(),
            "purchase": page["purchase"].ravel(),
            "price": self.world.features.price[item],
            "policy_id": page["policy"][each],
            "session_end": np.array([end or None for end in page["end"]], object)[each],
        }
        for name in ("propensity", "cascade_propensity", "slate_propensity"):
            columns[name] = np.minimum(page[name].ravel(), 1.0)  # exp(log p) may round to just above 1
        for f in range(page["context"].shape[1]):
            columns[f"context_{f}"] = page["context"][each, f]
        known = page["candidates"] >= 0
        which, rank = np.nonzero(known)
        candidates = pd.DataFrame(
            {
                "session_id": session[which],
                "step": page["step"][which],
                "rank": rank,
                "item_id": self._ids[page["candidates"][known]],
            }
        )
        return pd.DataFrame(columns), candidates

    def log(self) -> InteractionLog:
        """The recorded sessions as a validated `InteractionLog`."""
        from behavior import InteractionLog

        rows, candidates = self.frames()
        return InteractionLog.from_frame(rows, candidates=candidates, source="recorded sessions")
