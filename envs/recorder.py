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

__all__ = ["PolicyDraw", "Propensities", "Ranker", "SessionRecorder", "ShownPages"]


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


@dataclass(frozen=True)
class _Rows:
    """The propensities of some rows."""

    item: NDArray[np.float64]
    cascade: NDArray[np.float64]
    slate: NDArray[np.float64]

    @classmethod
    def of(cls, known: Propensities, rows: NDArray[np.int64]) -> _Rows:
        return cls(known.item[rows], known.cascade[rows], known.slate[rows])


class Ranker(Protocol):
    """The part of `agents.base.Policy` that the recorder uses."""

    name: str

    def rank(
        self, observation: Observation, draw: Any, *, slate_size: int, state: SessionState | None = None
    ) -> NDArray[np.int64]:
        """Candidate positions (B, K)."""

    def propensity(self, observation: Observation, actions: NDArray[np.int64]) -> Propensities | None:
        """Exact propensities of `actions`; None where unknown."""


@dataclass(frozen=True)
class ShownPages:
    """`M` pages as they are written into a log."""

    user: NDArray[np.int64]  # (M,)
    step: NDArray[np.int64]  # (M,) pages of the session before this one
    query: NDArray[np.int32]  # (M,) -1: none
    context: NDArray[np.float32]  # (M, F)
    candidates: NDArray[np.int32]  # (M, N) catalogue rows, -1 where there is none
    slate: NDArray[np.int32]  # (M, K) catalogue rows
    click: NDArray[np.uint8]  # (M, K)
    purchase: NDArray[np.uint8]  # (M, K)
    terminated: NDArray[np.bool_]  # (M,) the user left after this page
    truncated: NDArray[np.bool_]  # (M,) the step limit
    repairs: NDArray[np.int32]  # (M,) choices of the action that had to be repaired
    propensity: Propensities | None  # of the actions; None where unknown
    policy_id: str
    dwell: NDArray[np.float32] | None = (
        None  # (M, K) seconds on what was clicked; None where the users know none
    )


class SessionRecorder:
    """Collects pages and gives them back as the two tables of a log.

    User u's session is called `su`; where a user lives several (under another seed, say), the later ones are `su.1`,
    `su.2`, ...

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
        self._begun: dict[int, int] = {}  # sessions by user

    @property
    def n_pages(self) -> int:
        """Pages collected so far."""
        return sum(len(page["user"]) for page in self._pages)

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
        pages = ShownPages(
            user=user[at],
            step=step[at].astype(np.int64),
            query=observation.query[at, 0],
            context=observation.context[at],
            candidates=observation.candidates[at],
            slate=result.slates[at],
            click=result.feedback.click[at],
            purchase=result.feedback.purchase[at],
            terminated=result.terminated[at],
            truncated=result.truncated[at],
            repairs=result.repairs[at],
            propensity=None if propensity is None else _Rows.of(propensity, at),
            policy_id=policy_id,
            dwell=None if result.feedback.dwell is None else result.feedback.dwell[at],
        )
        self.add_pages(pages)

    def add_pages(self, pages: ShownPages) -> None:
        """Add pages of any users; a user's page with step 0 begins another session.

        Propensities are not written for slates that had to be repaired: their probability under the policy is
        another one. (Strictly, so is that of every other slate of a policy that is repaired now and then, for a
        repair may end in it too. Policies that choose distinct items and keep the task's rules are never repaired.)
        """
        M, K = pages.slate.shape
        for user in pages.user[pages.step == 0].tolist():
            self._begun[user] = self._begun.get(user, 0) + 1
        unknown = np.full((M, K), np.nan)
        known, clean = pages.propensity, (pages.repairs == 0)[:, None]
        end = np.where(pages.terminated, "left", np.where(pages.truncated, "limit", ""))
        self._pages.append(
            {
                "user": pages.user,
                "again": np.array([self._begun.get(user, 1) - 1 for user in pages.user.tolist()], np.int64),
                "step": pages.step,
                "query": pages.query,
                "context": pages.context,
                "candidates": pages.candidates,
                "slate": pages.slate,
                "click": pages.click,
                "purchase": pages.purchase,
                "dwell": np.full((M, K), np.nan, np.float32) if pages.dwell is None else pages.dwell,
                "end": end.astype(object),
                "policy": np.full(M, pages.policy_id, object),
                "propensity": unknown if known is None else np.where(clean, known.item, np.nan),
                "cascade_propensity": unknown if known is None else np.where(clean, known.cascade, np.nan),
                "slate_propensity": (
                    unknown
                    if known is None
                    else np.where(clean, known.slate[:, None], np.nan).repeat(K, axis=1)
                ),
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
        order = np.lexsort((page["step"], page["again"], page["user"]))
        page = {name: array[order] for name, array in page.items()}
        M, K = page["slate"].shape
        users, pages = self._gaps
        again = page["again"] * (
            int(page["step"].max()) + 1
        )  # a user's later sessions come after the earlier
        seconds = page["user"] * users + (again + page["step"]) * pages
        time = pd.to_datetime(self._start + seconds.astype("timedelta64[s]"), utc=True)
        session = np.array(
            [
                f"s{user}.{n}" if n else f"s{user}"
                for user, n in zip(page["user"], page["again"], strict=True)
            ],
            object,
        )
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
            **({} if np.isnan(page["dwell"]).all() else {"dwell_seconds": page["dwell"].ravel()}),
            "price": self.world.features.price[item],
            "policy_id": page["policy"][each],
            "session_end": np.array([end or None for end in page["end"]], object)[each],
        }
        for name in ("propensity", "cascade_propensity", "slate_propensity"):
            columns[name] = np.minimum(page[name].ravel(), 1.0)  # exp(log p) may round to just above 1
        for f in range(page["context"].shape[1]):
            columns[f"context_{f}"] = page["context"][each, f]
        known = page["candidates"] >= 0
        which, place = np.nonzero(known)
        rank = (np.cumsum(known, axis=1) - 1)[which, place]  # the task's rules may have struck some out
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
