"""What each modality adds to the text model: the fusion learned anew without it, judged by later sessions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from encoders.fusion.source import FusedRelevance, LogOfModalities
from encoders.measures.beside import Beside, beside

if TYPE_CHECKING:
    from behavior.catalog import Catalog
    from encoders.fusion.learning import FusionConfig
    from encoders.pairs import PairCounts

__all__ = ["ablate"]


def ablate(
    log: LogOfModalities,
    fused: FusedRelevance,
    catalog: Catalog,
    queries: tuple[str, ...],
    later: PairCounts,
    config: FusionConfig,
    *,
    truth: NDArray[np.float32] | None = None,
    without: bool = True,
    progress: bool = True,
) -> Iterator[Beside]:
    """The fusion, and the fusion learned without each of its modalities, each beside the text model alone.

    Args:
        log: What `fused` was fitted to.
        fused: The fusion.
        catalog: The catalogue (I items).
        queries: Texts (Q).
        later: Pairs of later sessions, of queries with a text.
        config: As `fused` was learned.
        truth: True relevance (Q, I), where it is known.
        without: Learn the fusion anew without each modality; otherwise the first row is all.
        progress: Show bars.
    """
    base = log.text.tables(catalog, queries, progress=False)
    yield beside("all", base, fused.tables(catalog, queries, progress=False), later, truth)
    names = fused.modalities.names
    for name in names if without and len(names) > 1 else ():
        other = log.fit([n for n in names if n != name], config, progress=progress)
        yield beside(f"all but {name}", base, other.tables(catalog, queries, progress=False), later, truth)
