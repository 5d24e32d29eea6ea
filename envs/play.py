"""Sessions as text: each page with what it earned, what it cost and how it left the user."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from envs.core import SlateCore
from envs.generated import Titles, style_name
from envs.observation import Observation
from envs.render import slate_text
from envs.results import StepResult
from envs.world import World
from simulators.base import SessionState
from simulators.kernels.shopper import N_SCALARS, SCALARS
from simulators.shopper import ShopperSimulator

__all__ = ["Rank", "hidden_text", "session_pages"]

Rank = Callable[[Observation, SessionState], NDArray[np.int64]]
"""Gives the slates (1, K), candidate positions, for an observation; oracles may look at the state."""


def session_pages(core: SlateCore, rank: Rank, *, pages: int | None = None) -> Iterator[str]:
    """Play the session that `core` (one user, just reset, `autoreset="disabled"`) is at; one text a page, then the end.

    Args:
        core: The environment.
        rank: Who ranks.
        pages: Stop after so many; None: play to the end.
    """
    observation, total = core.observe(), 0.0
    limit = core.task.max_steps if pages is None else min(pages, core.task.max_steps)
    for page in range(limit):
        before = hidden_text(core.world, core.state)
        query = int(core.state.query[0])
        result = core.step(rank(observation, core.state))
        total += float(result.score[0])
        text = slate_text(
            core.world,
            query=query,
            slate=result.slates[0],
            click=result.feedback.click[0],
            purchase=result.feedback.purchase[0],
            heading=f"page {page + 1} of at most {core.task.max_steps}"
            + (f"   [{before}]" if before else ""),
        )
        yield f"{text}\n{_earned(result, total)}"
        if result.finished.size:
            yield _ending(result)
            return
        observation = result.observation
    yield f"stopped after {limit} pages; the session goes on"


def hidden_text(world: World, state: SessionState) -> str:
    """What the built-in shopper feels, in words; empty for other simulators."""
    simulator = world.simulator
    if not isinstance(simulator, ShopperSimulator):
        return ""
    first = simulator.hidden_size - N_SCALARS - _n_groups(simulator)
    row = state.hidden[0]
    parts = [f"satisfaction {row[first + SCALARS.index('satisfaction')]:+.2f}"]
    user = simulator.shopper
    if user.intent_click or user.intent_quality:
        parts.append(f"intent {row[first + SCALARS.index('intent')]:+.2f}")
    if user.return_bias > float("-inf"):
        parts.append(f"visit {int(row[first + SCALARS.index('visits')]) + 1}")
    if user.boredom or user.annoyance:
        bored = row[first + N_SCALARS :]
        most = int(bored.argmax())
        parts.append(
            f"most bored with {_group_name(world, most)} ({bored[most]:.2f})"
            if bored[most] > 0
            else "not bored"
        )
    return ", ".join(parts)


def _group_name(world: World, group: int) -> str:
    return style_name(group) if isinstance(world.titles, Titles) else f"group {group}"


def _n_groups(simulator: ShopperSimulator) -> int:
    return int(simulator.item_traits[:, 4].max()) + 1


def _earned(result: StepResult, total: float) -> str:
    parts = {name: float(part[0]) for name, part in result.reward_parts.as_dict().items()}
    told = [f"score {result.score[0]:.2f} (so far {total:.2f})", f"reward {result.reward[0]:.3f}"]
    told += [f"{name} {parts[name]:.2f}" for name in ("cart", "revenue", "margin") if parts[name]]
    if result.repairs[0]:
        told.append(f"repairs {result.repairs[0]}")
    told += [f"cost {name} {cost[0]:g}" for name, cost in result.costs.items() if cost[0]]
    return "     " + ", ".join(told)


def _ending(result: StepResult) -> str:
    session = result.episodes.row(0)
    why = "the user left" if session["left"] else "the limit of pages was reached"
    return (
        f"{why} after {session['length']} page{'s' if session['length'] > 1 else ''}: "
        f"{session['clicks']} clicks, {session['purchases']} purchases, revenue {session['revenue']:,.2f}, "
        f"score {session['score']:,.2f}"
    )
