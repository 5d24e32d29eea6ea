"""What the tasks of the suite share: how they are made, and the parts of their documentation that follow from sizes."""

from __future__ import annotations

import inspect
import json
import math
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar
from weakref import WeakValueDictionary

from envs.generated import ShopSpec, generate_world
from envs.single import SlateEnv
from envs.vector import SlateVectorEnv
from envs.world import TaskConfig, World
from simulators.shopper import ShopperSimulator

__all__ = [
    "REFERENCE",
    "SuiteEnv",
    "SuiteVectorEnv",
    "reference_returns",
    "reference_section",
    "suite_world",
]

REFERENCE = Path(__file__).with_name("reference_returns.json")
"""Where `python -m envs reference` keeps what the benchmark measured."""

_SHARES = {
    "planning gap": "how far planning beats myopic",
    "personalisation gap": "share of the gap from random to planning that no policy blind to the user closes",
    "out of reach by hidden state": "share of that gap that not even the belief oracle closes",
}

_WHO = """Constant slate, score direction and longest session are the best of their kind that a search found: one page
for all, one direction in the items' features for all, and pages that keep users longest. Myopic and planning see the
user's hidden state and serve the next page best, or the whole session; belief plans on what an agent can know."""

_SPACES = """## Action Space
`MultiDiscrete([{N}] * {K})`: candidate positions 0 .. {last} in slate order, the first shown on top. A repeated choice,
or one of a struck-out candidate, takes the next unused candidate and is counted in `info["repairs"]`; with
`duplicates="error"` it raises.

## Observation Space
A `Dict` of `Box`es; -1 means none.

| key | shape | type | range | meaning |
|---|---|---|---|---|
| query | (1,) | int32 | -1 .. {queries} | row of the query table |
| context | ({F},) | float32 | any | what the shop knows: {context} |
| candidates | ({N},) | int32 | -1 .. {items} | catalogue rows, best first; -1 where there is none to choose |
| scores | ({N},) | float32 | 0 .. 1 | click probability by the relevance model |
| seen | ({N},) | float32 | 0 .. {T} | how often this candidate was shown earlier in the session |
| last_slate | ({K},) | int32 | -1 .. {items} | the previous page |
| last_click | ({K},) | float32 | 0, 1 | its clicks |
| last_purchase | ({K},) | float32 | 0, 1 | its purchases |
| clicked | ({H},) | int32 | -1 .. {items} | the last {H} clicked items, newest first |
| progress | (4,) | float32 | 0 .. 1, then 0 .. {most} | step/{T}, steps left/{T}, log(1 + clicks), log(1 + purchases) |
{pages}
Ids are rows of the tables in `world.features`: vectors of width {D}, {columns}, category, price.
"""

_REWARDS = """Training reward by default: clicks + 5 x purchases + 0.05 x mean relevance of the page; its parts are in
`info["reward_parts"]`. The score by which policies are compared is clicks + 5 x purchases over the
session (`info["score"]` page by page)."""

_START = """A new user with a first query. `reset(seed=s)` starts again at `first_user`, `reset()` goes on to the next
user, `reset(options={"user": u})` asks for user u. A session depends on seed and user only."""

_ARGUMENTS = """## Arguments
`gymnasium.make("envs:{id}", seed=0, first_user=0, stride=1, render_mode=None)`; `world=` and `task=` put another shop
or another `TaskConfig` in the place of the task's own (results then are no results of this task).
`gymnasium.make_vec("envs:{id}", num_envs=B)` gives B users in one batch, and
`SlateVecEnv(B, *make_task("{id}"))` the same for Stable-Baselines3.
"""


_IN_USE: WeakValueDictionary[ShopSpec, World] = WeakValueDictionary()


@lru_cache(maxsize=4)
def suite_world(shop: ShopSpec) -> World:
    """The shop of a task, made once and shared: worlds are read-only. The last four are kept, and all in use."""
    world = _IN_USE.get(shop)
    if world is None:
        world = _IN_USE[shop] = generate_world(shop)
    return world


class SuiteEnv(SlateEnv):
    """A task of the suite: a subclass names its shop and its `TaskConfig`, and documents itself."""

    ID: ClassVar[str]
    """Gymnasium id."""
    SHOP: ClassVar[ShopSpec]
    """The shop, of which `make_world` makes the world."""
    TASK: ClassVar[TaskConfig]
    """Sizes, horizon, reward and score."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Put what follows from the sizes, and what was measured, into the documentation."""
        super().__init_subclass__(**kwargs)
        cls.__doc__ = (
            inspect.cleandoc(cls.__doc__ or "")
            .replace("{rewards}", _REWARDS)
            .replace("{start}", _START)
            .replace("{spaces}", _spaces(cls.SHOP, cls.TASK))
            .replace("{arguments}", _ARGUMENTS.replace("{id}", cls.ID))
            .replace("{reference}", reference_section(cls.ID))
        )

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
        super().__init__(
            self.make_world() if world is None else world,
            self.TASK if task is None else task,
            seed=seed,
            first_user=first_user,
            stride=stride,
            render_mode=render_mode,
        )

    @classmethod
    def make_world(cls) -> World:
        """The task's world, shared by all who ask."""
        return suite_world(cls.SHOP)


class SuiteVectorEnv(SlateVectorEnv):
    """`num_envs` users of a task of the suite in one batch; see `SlateVectorEnv`."""

    TASK_ENV: ClassVar[type[SuiteEnv]]
    """The task."""

    def __init__(
        self, num_envs: int = 1, world: World | None = None, task: TaskConfig | None = None, **kwargs: Any
    ) -> None:
        super().__init__(
            num_envs,
            self.TASK_ENV.make_world() if world is None else world,
            self.TASK_ENV.TASK if task is None else task,
            **kwargs,
        )


@lru_cache(maxsize=1)
def reference_returns() -> dict[str, list[dict[str, Any]]]:
    """Task id to the measured reference scores (`python -m benchmarks.tasks`); empty where none were kept."""
    if not REFERENCE.is_file():
        return {}
    kept: dict[str, list[dict[str, Any]]] = json.loads(REFERENCE.read_text(encoding="utf-8"))
    return kept


def _spaces(shop: ShopSpec, task: TaskConfig) -> str:
    columns = ["log_price", "popularity", "rating"] + (["arrival"] if shop.fresh_items else [])
    return _SPACES.format(
        N=task.n_candidates,
        K=task.slate_size,
        last=task.n_candidates - 1,
        T=task.max_steps,
        H=task.history,
        pages=_pages(shop, task),
        D=shop.width,
        F=ShopperSimulator.context_size,
        queries=shop.n_queries - 1,
        items=shop.n_items - 1,
        context=", ".join(ShopperSimulator.context_names),
        most=f"{math.log1p(task.max_steps * task.slate_size):.2f}",
        columns=", ".join(columns),
    )


def _pages(shop: ShopSpec, task: TaskConfig) -> str:
    """What is observed of whole pages."""
    if not task.memory:
        return "\n`TaskConfig(memory=m)` adds the last m pages whole: `recent_items` and `recent_feedback`."
    M = task.memory * task.slate_size
    return (
        f"| recent_items | ({M},) | int32 | -1 .. {shop.n_items - 1} | the last {task.memory} pages, newest first |\n"
        f"| recent_feedback | ({M},) | float32 | 0, 1, 2 | of each place there: shown only, clicked, bought |\n"
    )


def reference_section(task_id: str) -> str:
    """The documentation's "Reference Returns"."""
    rows = reference_returns().get(task_id)
    command = f"`python -m benchmarks.tasks --task {task_id}`"
    if not rows:
        return f"## Reference Returns\nNot measured yet; {command} does."
    lines = [
        "## Reference Returns",
        f"Mean score of a session, with 95 % intervals over users and seeds; measured by {command}.",
        "",
        "| policy | score | interval | share of the gap |",
        "|---|---|---|---|",
    ]
    for row in rows:
        if row["kind"] == "score":
            interval = f"{row['low']:.2f} to {row['high']:.2f}"
            lines.append(f"| {row['name']} | {row['value']:.2f} | {interval} | {_percent(row['share'])} |")
    lines += ["", _WHO, ""]
    for row in rows:
        if row["kind"] == "share":
            interval = f"{_percent(row['low'])} to {_percent(row['high'])}"
            lines.append(f"- {row['name']} {_percent(row['value'])} ({interval}): {_SHARES[row['name']]}")
    return "\n".join(lines)


def _percent(share: float) -> str:
    return f"{round(100 * share)} %"
