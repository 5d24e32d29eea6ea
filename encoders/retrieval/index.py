"""What finds the items with the largest dot products, and the exact one; docs/candidates.md says when to use which."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from behavior.errors import InputError
from behavior.files import atomic_folder
from encoders.candidates import ExactSource

__all__ = ["ExactIndex", "VectorIndex", "check_rows", "describe", "read_description"]

_FORMAT = "slategym-index-1"


class VectorIndex(Protocol):
    """Items under catalogue rows, found by their dot product with a query's vector."""

    @property
    def n_items(self) -> int:
        """Items held."""
        ...

    def search(
        self, query_vectors: NDArray[np.float32], n: int, *, allowed: NDArray[np.bool_] | None = None
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """The best `n` items of each query (Q, R): catalogue rows (Q, n), best first, -1 padded, and dot products.

        Args:
            query_vectors: (Q, R).
            n: Items wanted.
            allowed: Which catalogue rows may be found; all by default. Rows beyond its end may not.
        """
        ...

    def add(self, rows: NDArray[np.integer[Any]], vectors: NDArray[np.float32]) -> None:
        """Add items: their catalogue rows (n,), none of them held yet, and vectors (n, R)."""
        ...

    def remove(self, rows: NDArray[np.integer[Any]]) -> int:
        """Remove items by their catalogue rows (n,); how many of them were held."""
        ...

    def save(self, folder: Path | str) -> None:
        """Write to `folder`, which appears whole or not at all."""
        ...


class ExactIndex:
    """Exhaustive search over all vectors: right to the last item, and fast enough for tens of thousands.

    Args:
        vectors: (n, R).
        rows: Their catalogue rows (n,); 0 .. n-1 by default.
    """

    def __init__(self, vectors: NDArray[np.float32], rows: NDArray[np.integer[Any]] | None = None) -> None:
        self._vectors = vectors
        self._rows = np.arange(len(vectors), dtype=np.int64) if rows is None else rows.astype(np.int64)
        check_rows(self._rows, vectors, np.zeros(0, np.int64), vectors.shape[1])

    @property
    def n_items(self) -> int:
        """Items held."""
        return len(self._rows)

    def search(
        self, query_vectors: NDArray[np.float32], n: int, *, allowed: NDArray[np.bool_] | None = None
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """As `VectorIndex.search`."""
        vectors, rows = self._vectors, self._rows
        if allowed is not None:
            able = np.flatnonzero((rows < len(allowed)) & allowed[np.minimum(rows, len(allowed) - 1)])
            vectors, rows = vectors[able], rows[able]
        place, scores = ExactSource(vectors).search(query_vectors, n)
        found = np.where(place >= 0, rows[place] if len(rows) else -1, -1)
        return found.astype(np.int32), scores

    def add(self, rows: NDArray[np.integer[Any]], vectors: NDArray[np.float32]) -> None:
        """As `VectorIndex.add`."""
        check_rows(rows, vectors, self._rows, self._vectors.shape[1])
        self._vectors = np.concatenate([self._vectors, vectors.astype(np.float32)])
        self._rows = np.concatenate([self._rows, rows.astype(np.int64)])

    def remove(self, rows: NDArray[np.integer[Any]]) -> int:
        """As `VectorIndex.remove`."""
        gone = np.isin(self._rows, rows)
        self._vectors, self._rows = self._vectors[~gone], self._rows[~gone]
        return int(gone.sum())

    def save(self, folder: Path | str) -> None:
        """As `VectorIndex.save`: plain `.npy` files."""
        with atomic_folder(Path(folder)) as target:
            np.save(target / "vectors.npy", self._vectors)
            np.save(target / "rows.npy", self._rows)
            describe(target, {"kind": "exact"})

    @classmethod
    def load(cls, folder: Path | str) -> ExactIndex:
        """Read what `save` wrote; the vectors are memory-mapped, so processes share them.

        Raises:
            InputError: Missing or damaged.
        """
        folder = Path(folder)
        read_description(folder, "exact")
        try:
            vectors = np.load(folder / "vectors.npy", mmap_mode="r", allow_pickle=False)
            return cls(vectors, np.load(folder / "rows.npy", allow_pickle=False))
        except (OSError, ValueError, EOFError) as error:
            raise InputError(
                f"unreadable index: {error}", where=str(folder), mend="build it again"
            ) from error


def describe(folder: Path, entries: dict[str, object]) -> None:
    """Write `index.json`: what kind of index stands in `folder`."""
    text = json.dumps({"format": _FORMAT, **entries}, indent=2)
    (folder / "index.json").write_text(text + "\n", encoding="utf-8")


def read_description(folder: Path, kind: str | None = None) -> dict[str, Any]:
    """Read `index.json`; with `kind`, insist on it.

    Raises:
        InputError: No index, a damaged one, or one of another kind.
    """
    try:
        entries: dict[str, Any] = json.loads((folder / "index.json").read_text(encoding="utf-8"))
        found = entries["format"], entries["kind"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"no readable index: {type(error).__name__}: {error}",
            where=str(folder),
            mend="give the folder that an index's save wrote, or build it again",
        ) from error
    if found[0] != _FORMAT or (kind is not None and found[1] != kind):
        raise InputError(
            f"found {' '.join(map(str, found))}, expected {_FORMAT} {kind or ''}".rstrip(), where=str(folder)
        )
    return entries


def check_rows(
    rows: NDArray[np.integer[Any]],
    vectors: NDArray[np.float32],
    held: Sequence[int] | NDArray[np.integer[Any]],
    width: int,
) -> None:
    """Raise an `InputError` where `rows` (n,) and `vectors` (n, R) cannot join an index that holds `held`."""
    if vectors.ndim != 2 or vectors.shape != (len(rows), width):
        raise InputError(
            f"vectors of shape {vectors.shape} for {len(rows)} items, expected {(len(rows), width)}",
            where="VectorIndex.add(vectors=...)",
        )
    if not np.isfinite(vectors).all():
        bad = int(rows[int(np.flatnonzero(~np.isfinite(vectors).all(axis=1))[0])])
        raise InputError(
            f"the vector of item row {bad} holds nan or infinity", where="VectorIndex.add(vectors=...)"
        )
    if len(rows) and int(rows.min()) < 0:
        raise InputError(f"item rows start at 0, found {int(rows.min())}", where="VectorIndex.add(rows=...)")
    values, counts = np.unique(np.asarray(rows), return_counts=True)
    again = values[(counts > 1) | np.isin(values, held)]
    if again.size:
        raise InputError(
            f"item row {int(again[0])} would stand in the index twice",
            where="VectorIndex.add(rows=...)",
            mend="remove it first: index.remove(rows)",
        )
