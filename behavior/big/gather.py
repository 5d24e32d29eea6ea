"""The pages of one chunk, gathered from all parts in order of time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from behavior.big.number import Chunk
from behavior.big.pages import PageShape, blank_records
from behavior.big.part import PartResult, part_path

__all__ = ["GatherJob", "chunk_path", "gather_chunk", "joined_shape"]

_SAME = ("step", "timestamp", "session_end")


@dataclass(frozen=True, kw_only=True)
class GatherJob:
    """What every chunk is gathered by."""

    folder: Path
    """Records and numbers of the parts."""
    out: Path
    """Where the chunks go."""
    parts: tuple[PartResult, ...]
    """What lies in the parts."""
    chunks: tuple[Chunk, ...]
    """All chunks."""
    shape: PageShape
    """How wide the records of the result are."""
    context_names: tuple[str, ...]
    """Columns of the context in the result."""
    items: bool
    """Items are numbered by part: there is no catalogue."""


def chunk_path(out: Path, part: str, place: int) -> Path:
    """Where a chunk of the part `train`, `valid` or `test` lies."""
    return out / part / f"{place:06d}.npy"


def joined_shape(parts: tuple[PartResult, ...], n_context: int) -> PageShape:
    """As wide as the widest part."""
    return PageShape(
        n_positions=max(part.shape.n_positions for part in parts),
        n_candidates=max(part.shape.n_candidates for part in parts),
        n_context=n_context,
        optional=parts[0].shape.optional,
    )


def gather_chunk(job: GatherJob, number: int) -> int:
    """Write one chunk; returns its number of pages.

    The sessions of a part are in order of time already, so that those of a chunk are a run of its records.
    """
    chunk = job.chunks[number]
    found = [records for part in job.parts if (records := _from_part(job, part, chunk)) is not None]
    records = np.concatenate(found)
    records = records[np.argsort(records["session"], kind="stable")]
    place = chunk_path(job.out, chunk.part, chunk.place)
    place.parent.mkdir(parents=True, exist_ok=True)
    np.save(place, records)
    return len(records)


def _from_part(job: GatherJob, part: PartResult, chunk: Chunk) -> NDArray[np.void] | None:
    numbers = np.load(part_path(job.folder, "numbers", part.part), mmap_mode="r")  # (4, S)
    low, high = np.searchsorted(numbers[0], [chunk.low, chunk.high])
    if low == high:
        return None
    rank, user, begins, pages = np.asarray(numbers[:, low:high])
    held = np.load(part_path(job.folder, "pages", part.part), mmap_mode="r")
    mine = np.array(held[begins[0] : begins[-1] + pages[-1]])  # read, so that the file is let go
    out = blank_records(len(mine), job.shape)
    at = mine["session"] - low
    out["session"], out["user"] = rank[at] - chunk.first, user[at]
    query = np.load(job.folder / "query-rows" / f"{part.part:06d}.npy")
    out["query"] = query[mine["query"]]
    for name in _SAME:
        out[name] = mine[name]
    k = part.shape.n_positions
    for name in ("item", "click", "purchase", "dwell", "propensity", "cascade_propensity"):
        if name in (mine.dtype.names or ()):
            out[name][:, :k] = mine[name]
    if "slate_propensity" in job.shape.optional:
        out["slate_propensity"] = mine["slate_propensity"]
    if part.shape.n_candidates:
        out["candidates"][:, : part.shape.n_candidates] = mine["candidates"]
    if job.items:
        row = np.append(np.load(job.folder / "item-rows" / f"{part.part:06d}.npy"), np.int32(-1))
        for name in ("item", "candidates") if job.shape.n_candidates else ("item",):
            out[name] = row[out[name]]  # -1, nothing, is the last
    for place, name in enumerate(part.context_names):
        out["context"][:, job.context_names.index(name)] = mine["context"][:, place]
    return out
