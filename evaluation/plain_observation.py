"""What a policy sees of a log when there is nothing but the log: no relevance model, no tables of a run.

Enough for tables of scores and for functions, which know queries and items by their names.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from behavior.catalog import Catalog
from behavior.errors import InputError
from behavior.steps import LoggedSteps
from encoders.features import CandidateTable
from envs.observation import Observation
from envs.replay import observe_log
from envs.world import TaskConfig

if TYPE_CHECKING:
    from behavior.log import InteractionLog

__all__ = ["plain_observation", "read_plain", "session_ids"]

_RANK_ALL = 500
"""A catalogue of single impressions up to this size is ranked as a whole."""


def read_plain(
    log: str | Path | InteractionLog,
    *,
    catalog: Path | str | Catalog | None = None,
    queries: Sequence[str] | None = None,
    slate_size: int | None = None,
) -> tuple[LoggedSteps, Observation]:
    """The pages of a log and what a policy sees of them without any model.

    Args:
        log: A file that `behavior.load` reads, or a log.
        catalog: Gives items their rows; None: the items of the log.
        queries: Texts of queries in row order; None: those of the log.
        slate_size: Keep the first positions of each page alone; None: all.

    Raises:
        InputError: A log that cannot be read, pages without candidates, or a query that is not in `queries`.
    """
    from behavior.dataset import load
    from behavior.log import InteractionLog

    if isinstance(log, InteractionLog):
        own = catalog if isinstance(catalog, Catalog) else _catalog_of(log, catalog)
        steps = log.to_steps(own, queries)
    else:
        dataset = load(log, catalog)
        own = dataset.catalog
        steps = dataset.log.to_steps(own, queries)
    if slate_size is not None and not steps.single_impressions:
        steps = steps.top(slate_size)
    return steps, plain_observation(steps, n_items=own.n_items)


def plain_observation(steps: LoggedSteps, *, n_items: int) -> Observation:
    """Pages as a policy without a relevance model sees them: all scores are 0.

    Raises:
        InputError: The log says no candidates, and its catalogue is too large to rank as a whole.
    """
    width, table = steps.candidates.shape[1], None
    if width == 0:
        if not steps.single_impressions or n_items > _RANK_ALL:
            raise InputError(
                "the log does not say from which candidates its pages were chosen",
                where="off-policy judgement",
                mend="give the log's companion table of candidates (LOG.candidates.csv: session_id, step, rank, "
                "item_id), without which no policy's probabilities can be known",
            )
        width = n_items
        every = np.tile(np.arange(n_items, dtype=np.int32), (len(steps.queries), 1))
        table = CandidateTable(items=every, scores=np.zeros(every.shape, np.float32))
    task = TaskConfig(
        slate_size=steps.slate_size,
        n_candidates=max(width, steps.slate_size),
        max_steps=int(steps.step.max(initial=0)) + 1,
    )
    return observe_log(steps, None, task, candidates=table)


def session_ids(log: InteractionLog) -> NDArray[np.object_]:
    """(S,) the log's own session ids in the order of `LoggedSteps.session`."""
    from behavior.regroup import session_starts

    code, start = session_starts(log.rows)
    names = np.empty(len(start), object)
    names[code] = log.rows["session_id"].to_numpy(object)
    ordered: NDArray[np.object_] = names[np.argsort(start, kind="stable")]
    return ordered


def _catalog_of(log: InteractionLog, catalog: Path | str | None) -> Catalog:
    import pandas as pd

    from behavior.readers.tables import read_catalog

    if catalog is not None:
        return read_catalog(Path(catalog))
    ids = log.rows["item_id"]
    if log.candidates is not None:
        ids = pd.concat([ids, log.candidates["item_id"]])
    return Catalog.from_frame(pd.DataFrame({"item_id": ids.unique()}), source=log.source)
