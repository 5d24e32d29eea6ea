"""A log in the replay of DQN: its sessions one after the other in as many lanes as the replay has users."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from agents.dqn.learner import SlateDQN
from agents.offline.fitting import whole_pages
from agents.offline.transitions import LogTransitions
from behavior.errors import InputError

__all__ = ["fill_replay", "in_lanes"]


def in_lanes(log: LogTransitions, n_lanes: int) -> NDArray[np.int64]:
    """Rows of the log (T, B) as `B` users would have been served them, whole sessions first come first served.

    Sessions with a page that is no slate of the task are left out. Lanes are as long as the shortest; what stands
    over is left out. T is 0 where there are fewer sessions than lanes.
    """
    ends = np.flatnonzero(log.ends)
    starts = np.append(0, ends[:-1] + 1)
    whole = log.whole
    lanes: list[list[NDArray[np.int64]]] = [[] for _ in range(n_lanes)]
    length = np.zeros(n_lanes, np.int64)
    for start, end in zip(starts, ends, strict=True):
        if whole[start : end + 1].all():
            lane = int(length.argmin())
            lanes[lane].append(np.arange(start, end + 1))
            length[lane] += end + 1 - start
    T = int(length.min())
    if T == 0:
        return np.empty((0, n_lanes), np.int64)
    return np.stack([np.concatenate(lane)[:T] for lane in lanes], axis=1)


def fill_replay(model: SlateDQN, log: LogTransitions) -> None:
    """Put the log's pages into the replay.

    Every logged choice counts as a greedy one: returns run through it.

    Raises:
        InputError: No page is a slate of the task, or there are too few sessions.
    """
    whole_pages(log, "warm start of dqn")
    replay = model.replay_buffer
    assert replay is not None
    rows = in_lanes(log, model.n_envs)
    if rows.shape[0] < 2:
        sessions = int(log.ends.sum())
        raise InputError(
            f"the log's {sessions:,} sessions do not fill the replay of {model.n_envs} users side by side",
            where="warm start of dqn",
            mend="choose a smaller n_envs, or give a longer log",
        )
    # The replay has room for a cut of each user in `max_steps` pages. A log that was cut more often had a limit of its
    # own, and its sessions count as ended there.
    cuts = (
        log.truncated if int(log.truncated[rows].sum()) <= replay.most_cut else np.zeros_like(log.truncated)
    )
    for at in rows:
        before, after = log.observation.take(at), log.next_observation
        truncated = cuts[at]
        replay.put(
            before.as_dict(),
            slates=log.actions[at],
            click=log.click[at],
            purchase=log.purchase[at],
            reward=log.reward[at],
            terminated=log.terminated[at] | (log.truncated[at] & ~truncated),
            truncated=truncated,
            explored=np.zeros(at.size, np.bool_),
            last=after.take(at[truncated]).as_dict(),
        )
    model.largest_reward = float(np.abs(log.reward).max())
