"""What several tests of the evaluation share."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from agents.base import Draw, Policy
from behavior.steps import LoggedSteps, SessionEnd
from envs.core import SlateCore
from envs.observation import Observation
from envs.world import TaskConfig, World

FirstPages = Callable[..., tuple[LoggedSteps, Observation]]


def _first_pages(
    world: World,
    task: TaskConfig,
    behaviour: Policy,
    n: int,
    *,
    seed: int,
    draw_seed: int,
    first_user: int = 0,
) -> tuple[LoggedSteps, Observation]:
    core = SlateCore(world, task, n_users=n, seed=seed, first_user=first_user)
    observation = core.reset()
    users, query = core.state.user.copy(), core.state.query.copy()
    draw = Draw(seed=draw_seed, user=users, step=core.state.step.copy())
    page = core.step(behaviour.rank(observation, draw, slate_size=task.slate_size))
    propensity = behaviour.propensity(observation, page.positions)
    assert propensity is not None
    steps = LoggedSteps(
        session=np.arange(n),
        user=users,
        step=np.zeros(n, np.int32),
        query=query,
        timestamp=np.arange(n),
        item=page.slates,
        click=page.feedback.click,
        purchase=page.feedback.purchase,
        candidates=observation.candidates,
        propensity=propensity.item,
        cascade_propensity=propensity.cascade,
        slate_propensity=propensity.slate,
        session_end=np.full(n, SessionEnd.UNKNOWN, np.int8),
        context=np.zeros((n, 0), np.float32),
        context_names=(),
        queries=world.queries,
        single_impressions=False,
    )
    return steps, observation


@pytest.fixture(scope="session")
def first_pages() -> FirstPages:
    """Makes the log of `n` first pages under a behaviour policy, with its propensities, and what it saw."""
    return _first_pages
