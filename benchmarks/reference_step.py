"""The opponent: a naive fused step, and its speed alone.

`python -m benchmarks.reference_step [--quick] [--json FILE]`. One numba loop over users does a whole step, as a good
engineer would write it in an afternoon (`benchmarks/kernels/step.py`). It reads the same tables as ours (64-wide item
and query vectors, N 100 candidates a query, categories, prices) and does, for each user:

- the slate from K distinct actions; click logits of its items from query fit and taste fit (a plain loop each), and
  boredom with their categories; clicks by position; a purchase after a click;
- satisfaction, boredom that fades and grows, leaving, the next query;
- the observation: candidates and their scores copied from the query's row, exact counts of what was seen (a hash
  table), last slate and its feedback, the last H clicks, progress, context;
- the reward: clicks + 5 x purchases + mean relevance;
- a new user in the place of one who left or reached T: a taste from 64 normal numbers, an empty history.

What it leaves out, and ours does: mending repeated actions and refusing wrong ones, the last observation and the sums
of a finished session, eight parts of the reward and the score, carts, price sensitivity, patience, intent and coming
back, a cryptographically designed generator (it hashes a counter by splitmix64), outputs that stay valid after the next
step (it writes over one set of arrays), and any thought of where in memory things lie.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from benchmarks.common import Options, case, main, result
from benchmarks.kernels.step import SEEN_BUCKETS, arrive, step_parallel, step_serial
from benchmarks.speed.timing import Contestant, in_turn, pages, turning
from benchmarks.speed.worlds import TASK, speed_world
from envs.world import TaskConfig, World

__all__ = ["ReferenceStep", "measure"]

WEIGHTS = (-1.5, 2.5, 2.5, 0.35, -1.5, 1.0, 1.0, 1.5, 0.5)
"""Click bias, query fit, taste fit, boredom; purchase bias, price; staying bias, satisfaction; next query."""


class ReferenceStep:
    """`B` users of a plain shop over the tables of `world`, with every output allocated once.

    Args:
        world: Vectors, candidates, categories and prices.
        task: K, N, T and H.
        n_users: B.
        parallel: Over all numba threads; else on the calling thread.
        seed: Key of all chance.
    """

    def __init__(
        self, world: World, task: TaskConfig, *, n_users: int, parallel: bool = False, seed: int = 0
    ) -> None:
        features, B, K, N = world.features, n_users, task.slate_size, task.n_candidates
        price = features.price
        items = np.require(world.candidates.items[:, :N], np.int32, ["C", "W"])
        self._tables = (
            items,
            np.require(world.candidates.scores[:, :N], np.float32, ["C", "W"]),
            np.require(features.item_vectors, np.float32, ["C", "W"]),
            np.require(features.query_vectors, np.float32, ["C", "W"]),
            np.require(features.item_category, np.int32, ["C", "W"]),
            ((price - np.nanmean(price)) / (np.nanstd(price) + 1e-9)).astype(np.float32),
            np.arange(1, K + 1, dtype=np.float64) ** -0.7,
            np.array(WEIGHTS, np.float64),
            np.int64(task.max_steps),
            np.int64(B),
            np.uint64(seed),
        )
        self.user = np.arange(B, dtype=np.int64)
        self.taste = np.empty((B, features.item_vectors.shape[1]), np.float32)
        self.boredom = np.empty((B, features.n_categories), np.float32)
        self.satisfaction = np.empty(B, np.float32)
        self.pages = np.empty(B, np.int32)
        self.query = np.empty(B, np.int32)
        self.shown = np.empty((B, SEEN_BUCKETS, 2), np.int32)
        self.last_slate = np.empty((B, K), np.int32)
        self.last_click = np.empty((B, K), np.float32)
        self.last_purchase = np.empty((B, K), np.float32)
        self.clicked = np.empty((B, max(task.history, 1)), np.int32)
        self.context = np.empty((B, 1), np.float32)
        self.totals = np.empty((B, 2), np.float64)
        self.click = np.empty((B, K), np.uint8)
        self.purchase = np.empty((B, K), np.uint8)
        self.reward = np.empty(B, np.float64)
        self.terminated = np.empty(B, np.bool_)
        self.truncated = np.empty(B, np.bool_)
        self.candidates = np.empty((B, N), np.int32)
        self.scores = np.empty((B, N), np.float32)
        self.seen = np.empty((B, N), np.float32)
        self.progress = np.empty((B, 4), np.float32)
        self._run = step_parallel if parallel else step_serial
        begin: Any = arrive  # numba's own type for it takes no starred arguments
        for b in range(B):
            begin(b, *self._session, np.int64(items.shape[0]), np.uint64(seed))

    @property
    def _session(self) -> tuple[NDArray[Any], ...]:
        return (
            self.user,
            self.taste,
            self.boredom,
            self.satisfaction,
            self.pages,
            self.query,
            self.shown,
            self.last_slate,
            self.last_click,
            self.last_purchase,
            self.clicked,
            self.context,
            self.totals,
        )

    def step(self, actions: NDArray[np.int64]) -> None:
        """Show the slates `actions` (B, K), distinct candidate positions; what happened lies in the attributes."""
        self._run(
            actions,
            *self._tables,
            *self._session,
            self.click,
            self.purchase,
            self.reward,
            self.terminated,
            self.truncated,
            self.candidates,
            self.scores,
            self.seen,
            self.progress,
        )


def measure(options: Options) -> dict[str, Any]:
    """The reference alone, on one thread. `--quick`: without the million."""
    sizes = (1_000, 100_000) if options.quick else (1_000, 100_000, 1_000_000)
    seconds, rounds = (0.3, 3) if options.quick else (2.0, 5)
    cases = []
    slates = pages(1024, TASK.n_candidates, TASK.slate_size, distinct=True)
    for size in tqdm(sizes, desc="reference step", unit="catalogue", disable=None):
        naive = ReferenceStep(speed_world(size), TASK, n_users=1024)
        contestant = Contestant(step=turning(naive.step, slates), per_call=1024)
        rates = in_turn({"naive": contestant}, seconds=seconds, rounds=rounds)["naive"]
        cases.append(case(f"naive fused step, {size:,} items, B 1,024, 1 thread", max(rates), "user-steps/s"))
    return result("reference_step", cases)


if __name__ == "__main__":
    sys.exit(main(measure, description=__doc__))
