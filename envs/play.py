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
from envs.single import shown_page
from envs.world import World
from simulators.base import SessionState
from simulators.kernels.shopper_layout import N_SCALARS, SCALARS
from simulators.shopper import ShopperSimulator

__all__ = ["Rank", "character", "mood", "session_pages"]

Rank = Callable[[Observation, SessionState], NDArray[np.int64]]
"""Gives the slates (1, K), candidate positions, for an observation; oracles may look at the state."""


def session_pages(core: SlateCore, rank: Rank, *, pages: int | None = None) -> Iterator[str]:
    """Play the session that `core` is at: one text a page, then how it ended.

    Args:
        core: One user, just reset, with `autoreset="disabled"`.
        rank: Who ranks.
        pages: Stop after so many; None: play to the end.
    """
    observation, total = core.observe(), 0.0
    most = core.task.max_steps
    limit = most if pages is None else min(pages, most)
    for page in range(limit):
        felt = mood(core.world, core.state)
        query = int(core.state.query[0])
        result = core.step(rank(observation, core.state))
        total += float(result.score[0])
        heading = f"page {page + 1} of at most {most}" + (f"   [{felt}]" if felt else "")
        text = slate_text(core.world, query=query, heading=heading, **shown_page(result, 0))
        yield "\n".join([text, *_kept_to(core.world, result), _earned(result, total)])
        if result.finished.size:
            yield _ending(result)
            return
        observation = result.observation
    yield f"stopped after {limit} page{'s' if limit > 1 else ''}; the session goes on"


def character(world: World, state: SessionState) -> str:
    """Who the (first) user of the built-in simulator is; empty for other simulators."""
    simulator = world.simulator
    if not isinstance(simulator, ShopperSimulator):
        return ""
    parts = [_likes(world, simulator, state)]
    if simulator.shopper.purchase_need:
        need = int(_scalar(simulator, state, "need"))
        parts.append(f"needs {_style(world, need)}")
    parts.append(f"price sensitivity {_scalar(simulator, state, 'sensitivity'):.2f}")
    return ", ".join(parts)


def mood(world: World, state: SessionState) -> str:
    """What the (first) user of the built-in simulator feels right now; empty for other simulators."""
    simulator = world.simulator
    if not isinstance(simulator, ShopperSimulator):
        return ""
    user, parts = simulator.shopper, []
    if user.return_bias > float("-inf"):
        parts.append(f"visit {int(_scalar(simulator, state, 'visits')) + 1}")
    if user.leave_satisfaction or user.return_satisfaction:
        parts.append(f"satisfaction {_scalar(simulator, state, 'satisfaction'):+.2f}")
    if user.checkout_intent:
        parts.append(f"intent {_scalar(simulator, state, 'intent'):+.2f}")
    if user.drift:
        parts.append(_likes(world, simulator, state))
    if user.boredom or user.annoyance:
        bored = state.hidden[0, simulator.taste_size + N_SCALARS :]
        most = int(bored.argmax())
        parts.append(
            f"most bored with {_style(world, most)} ({bored[most]:.2f})" if bored[most] > 0 else "not bored"
        )
    return ", ".join(parts)


def _scalar(simulator: ShopperSimulator, state: SessionState, name: str) -> float:
    return float(state.hidden[0, simulator.taste_size + SCALARS.index(name)])


def _likes(world: World, simulator: ShopperSimulator, state: SessionState) -> str:
    """The persona nearest to the taste, and the cosine."""
    near = simulator.personas @ state.hidden[0, : simulator.taste_size]
    best = int(near.argmax())
    return f"likes {_style(world, best)} ({near[best]:.2f})"


def _style(world: World, style: int) -> str:
    return style_name(style) if isinstance(world.titles, Titles) else f"group {style}"


def _kept_to(world: World, result: StepResult) -> list[str]:
    """Brands and sponsored positions, where the task has rules."""
    if not result.costs:
        return []
    told, slate = [], result.slates[0]
    if world.brand is not None:
        told.append("brands " + " ".join(str(brand) for brand in world.brand[slate]))
    if world.sponsored is not None:
        paid = np.flatnonzero(world.sponsored[slate]) + 1
        told.append("sponsored at " + (" ".join(str(k) for k in paid) or "none"))
    return ["     " + ", ".join(told)] if told else []


def _earned(result: StepResult, total: float) -> str:
    parts = {name: float(part[0]) for name, part in result.reward_parts.as_dict().items()}
    told = [f"score {result.score[0]:.2f} (so far {total:.2f})", f"reward {result.reward[0]:.3f}"]
    told += [f"{name} {parts[name]:.2f}" for name in ("revenue", "margin") if parts[name]]
    if result.repairs[0]:
        told.append(f"repairs {result.repairs[0]}")
    told += [f"cost of {name} {cost[0]:g}" for name, cost in result.costs.items() if cost[0]]
    return "     " + ", ".join(told)


def _ending(result: StepResult) -> str:
    session = result.episodes.row(0)
    why = "the user left" if session["left"] else "the limit of pages was reached"
    counted = ", ".join(
        f"{session[many]} {many if session[many] != 1 else one}"
        for one, many in (("click", "clicks"), ("purchase", "purchases"))
    )
    pages = f"{session['length']} page{'s' if session['length'] > 1 else ''}"
    return f"{why} after {pages}: {counted}, revenue {session['revenue']:,.2f}, score {session['score']:,.2f}"
