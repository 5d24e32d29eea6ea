"""Approximate search by faiss: vectors in cells, of which the nearest few are searched.

An inverted file (Jegou, Douze, Schmid, "Product quantization for nearest neighbor search", PAMI 2011, section IV)
with the vectors themselves, in half precision, in its lists: items come and go without building anew, which graphs
do not allow. How many cells to search is measured on queries while building.
"""

from __future__ import annotations

import contextlib
import importlib.util
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from behavior.errors import InputError
from behavior.files import atomic_folder
from encoders.candidates import ExactSource
from encoders.retrieval.index import ExactIndex, VectorIndex, check_rows, describe, read_description

__all__ = ["AnnConfig", "AnnIndex", "build_index", "load_index"]

_FILE = "index.faiss"


@dataclass(frozen=True, kw_only=True)
class AnnConfig:
    """How to search a catalogue by vectors."""

    exact_below: int = 50_000
    """Catalogues with fewer items are searched exhaustively, without faiss."""
    cells: int = 0
    """Cells; 0: four times the square root of the number of items."""
    recall: float = 0.995
    """Share of the true best `depth` that a search is to find; decides how many cells are searched."""
    depth: int = 100
    """Items per query that `recall` is measured at."""
    storage: Literal["float32", "float16", "int8"] = "float16"
    """Numbers in the lists: 4, 2 or 1 bytes a coordinate. Half precision loses nothing that can be measured."""
    sample: int = 100_000
    """Items that the cells are placed by (k-means)."""
    iterations: int = 8
    """Rounds of k-means."""
    threads: int = 1
    """Threads of faiss, while building and searching."""
    seed: int = 0
    """Seed of the samples."""

    def __post_init__(self) -> None:
        if not 0.0 < self.recall <= 1.0:
            raise InputError(f"recall must lie in (0, 1], found {self.recall}", where="AnnConfig.recall")
        for name in ("depth", "sample", "iterations", "threads"):
            if getattr(self, name) < 1:
                raise InputError(
                    f"{name} must be at least 1, found {getattr(self, name)}", where=f"AnnConfig.{name}"
                )


def build_index(
    item_vectors: NDArray[np.float32],
    config: AnnConfig | None = None,
    *,
    queries: NDArray[np.float32] | None = None,
    progress: bool = True,
) -> VectorIndex:
    """An index of all items (I, R): exact below `config.exact_below`, approximate above.

    Args:
        item_vectors: (I, R), such as `RelevanceTables.item`.
        config: How.
        queries: Vectors (Q, R) of the kind that will be searched for, such as `RelevanceTables.click_query`; how many
            cells to search is measured on up to 256 of them. By default on items, which lie closer to items than
            queries do: give the queries where you can.
        progress: Show bars.
    """
    config = config or AnnConfig()
    if len(item_vectors) < config.exact_below:
        return ExactIndex(np.asarray(item_vectors, np.float32))
    return AnnIndex.build(item_vectors, config, queries=queries, progress=progress)


def load_index(folder: Path | str, *, threads: int = 1, changeable: bool = False) -> VectorIndex:
    """Read what an index's `save` wrote, memory-mapped.

    Args:
        folder: Where it stands.
        threads: Threads of faiss.
        changeable: Read an approximate index into memory instead, so that `add` and `remove` work.
    """
    if read_description(Path(folder))["kind"] == "exact":
        return ExactIndex.load(folder)
    return AnnIndex.load(folder, threads=threads, changeable=changeable)


class AnnIndex:
    """Approximate search; made by `build` or `load`.

    Attributes:
        probes: Cells that a search looks into.
        measured_recall: Recall at the configured depth that these many cells reached while building.
    """

    def __init__(
        self, index: Any, *, probes: int, measured_recall: float, threads: int, changeable: bool = True
    ) -> None:
        self._index = index
        self.probes = probes
        self.measured_recall = measured_recall
        self._threads = threads
        self._changeable = changeable

    @classmethod
    def build(
        cls,
        item_vectors: NDArray[np.float32],
        config: AnnConfig,
        *,
        queries: NDArray[np.float32] | None = None,
        progress: bool = True,
    ) -> AnnIndex:
        """As `build_index`, approximate whatever the size."""
        faiss = _faiss()
        n, width = item_vectors.shape
        check_rows(np.arange(n), item_vectors, np.zeros(0, np.int64), width)
        rng = np.random.default_rng(config.seed)
        sample = item_vectors
        if n > config.sample:
            sample = item_vectors[np.sort(rng.choice(n, config.sample, replace=False))]
        cells = min(config.cells or int(4 * n**0.5), len(sample))
        quiet = None if progress else True  # None: bars on a terminal only
        with _threads(faiss, config.threads):
            quantiser = faiss.IndexFlatIP(width)
            quantiser.add(_centres(faiss, np.ascontiguousarray(sample, np.float32), cells, config, quiet))
            kind = faiss.ScalarQuantizer
            if config.storage == "float32":
                index = faiss.IndexIVFFlat(quantiser, width, cells, faiss.METRIC_INNER_PRODUCT)
            else:
                code = kind.QT_fp16 if config.storage == "float16" else kind.QT_8bit
                index = faiss.IndexIVFScalarQuantizer(
                    quantiser, width, cells, code, faiss.METRIC_INNER_PRODUCT, False
                )
            index.train(np.ascontiguousarray(sample, np.float32))  # the range of each coordinate, for int8
            index.own_fields = True
            quantiser.this.disown()  # the index frees it
            bar = tqdm(total=n, desc="index", unit="item", leave=False, disable=quiet)
            with bar:
                for start in range(0, n, 20_000):
                    block = np.ascontiguousarray(item_vectors[start : start + 20_000], np.float32)
                    index.add_with_ids(block, np.arange(start, start + len(block), dtype=np.int64))
                    bar.update(len(block))
        found = cls(index, probes=1, measured_recall=0.0, threads=config.threads)
        asked = item_vectors if queries is None else queries[queries.any(axis=1)]
        if len(asked):
            few = np.sort(rng.choice(len(asked), min(256, len(asked)), replace=False))
            found._tune(np.asarray(asked[few], np.float32), item_vectors, config)
        return found

    def _tune(
        self, queries: NDArray[np.float32], item_vectors: NDArray[np.float32], config: AnnConfig
    ) -> None:
        """Double the cells searched until `config.recall` of the exact best are found.

        Where even all cells do not reach it (bytes tell near neighbours apart badly), a warning says so, and the
        fewest cells are searched that do as well as all of them.
        """
        depth = min(config.depth, len(item_vectors))
        exact = _exact(queries, item_vectors, depth)
        cells = int(self._index.nlist)
        tried: list[tuple[float, int]] = []
        while not tried or (tried[-1][0] < config.recall and self.probes < cells):
            self.probes = min(2 * self.probes, cells) if tried else 1
            tried.append((recall(self.search(queries, depth)[0], exact), self.probes))
        best = tried[-1][0]
        self.measured_recall, self.probes = next(entry for entry in tried if entry[0] >= best - 1e-3)
        if best < config.recall:
            warnings.warn(
                f"recall@{depth} of {config.recall:g} was asked for, but vectors kept as {config.storage} reach "
                f"{best:.3f} at most",
                UserWarning,
                stacklevel=4,
            )

    @property
    def n_items(self) -> int:
        """Items held."""
        return int(self._index.ntotal)

    def search(
        self, query_vectors: NDArray[np.float32], n: int, *, allowed: NDArray[np.bool_] | None = None
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """As `VectorIndex.search`. A filter that leaves few items searches all cells: none of them is missed."""
        faiss = _faiss()
        probes, selector = self.probes, None
        if allowed is not None:
            share = float(np.mean(allowed)) if len(allowed) else 0.0
            # The items that pass are spread over as many times more cells as there are fewer of them.
            probes = min(int(self._index.nlist), int(np.ceil(self.probes / max(share, 1e-9))))
            bits = np.packbits(allowed, bitorder="little")
            # Rows at or beyond 8 * len(bits) are refused by faiss itself.
            selector = faiss.IDSelectorBitmap(bits)
        parameters = faiss.SearchParametersIVF(sel=selector, nprobe=probes)
        with _threads(faiss, self._threads):
            scores, rows = self._index.search(
                np.ascontiguousarray(query_vectors, np.float32), n, params=parameters
            )
        return rows.astype(np.int32), np.where(rows >= 0, scores, 0.0).astype(np.float32)

    def add(self, rows: NDArray[np.integer[Any]], vectors: NDArray[np.float32]) -> None:
        """As `VectorIndex.add`; the cells stay where they are."""
        self._insist_changeable()
        check_rows(rows, vectors, self._rows(), int(self._index.d))
        with _threads(_faiss(), self._threads):
            self._index.add_with_ids(np.ascontiguousarray(vectors, np.float32), rows.astype(np.int64))

    def remove(self, rows: NDArray[np.integer[Any]]) -> int:
        """As `VectorIndex.remove`."""
        self._insist_changeable()
        return int(self._index.remove_ids(np.ascontiguousarray(rows, np.int64)))

    def _rows(self) -> NDArray[np.int64]:
        faiss = _faiss()
        lists = self._index.invlists
        parts = [
            faiss.rev_swig_ptr(lists.get_ids(cell), lists.list_size(cell)).copy()
            for cell in range(int(self._index.nlist))
            if lists.list_size(cell)
        ]
        return np.concatenate(parts) if parts else np.zeros(0, np.int64)

    def _insist_changeable(self) -> None:
        if not self._changeable:
            raise InputError(
                "a memory-mapped index cannot be changed",
                where="AnnIndex",
                mend="load_index(folder, changeable=True), change it, save it again",
            )

    def save(self, folder: Path | str) -> None:
        """As `VectorIndex.save`."""
        with atomic_folder(Path(folder)) as target:
            _faiss().write_index(self._index, str(target / _FILE))
            described = {"probes": self.probes, "measured_recall": self.measured_recall}
            describe(target, {"kind": "faiss", "items": self.n_items, **described})

    @classmethod
    def load(cls, folder: Path | str, *, threads: int = 1, changeable: bool = False) -> AnnIndex:
        """Read what `save` wrote; memory-mapped unless `changeable`.

        Raises:
            InputError: Missing or damaged.
        """
        faiss, folder = _faiss(), Path(folder)
        entries = read_description(folder, "faiss")
        try:
            index = faiss.read_index(str(folder / _FILE), 0 if changeable else faiss.IO_FLAG_MMAP)
            if int(index.ntotal) != int(entries["items"]):
                raise ValueError(f"{index.ntotal} items, expected {entries['items']}")
            return cls(
                index,
                probes=int(entries["probes"]),
                measured_recall=float(entries["measured_recall"]),
                threads=threads,
                changeable=changeable,
            )
        except (RuntimeError, OSError, ValueError, KeyError, TypeError) as error:
            first = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise InputError(
                f"unreadable index: {first}", where=str(folder), mend="build it again"
            ) from error


def recall(found: NDArray[np.int32], exact: NDArray[np.int32]) -> float:
    """Mean share of `exact` (Q, n) that is in `found` (Q, n), whatever the order."""
    shares = [np.isin(true, rows).mean() for true, rows in zip(exact, found, strict=True)]
    return float(np.mean(shares))


def _exact(queries: NDArray[np.float32], item_vectors: NDArray[np.float32], depth: int) -> NDArray[np.int32]:
    """Exact best rows (Q, depth), over blocks of items: a million scores of 256 queries take a gigabyte."""
    best = np.full((len(queries), depth), -np.inf, np.float32)
    rows = np.full((len(queries), depth), -1, np.int32)
    for start in range(0, len(item_vectors), 100_000):
        block = np.asarray(item_vectors[start : start + 100_000], np.float32)
        found, scores = ExactSource(block).search(queries, depth)
        scores = np.where(found >= 0, scores, -np.inf).astype(np.float32)
        both = np.concatenate([best, scores], axis=1)
        place = np.concatenate([rows, found + np.int32(start)], axis=1)
        order = np.argsort(-both, axis=1, kind="stable")[:, :depth]
        best, rows = np.take_along_axis(both, order, axis=1), np.take_along_axis(place, order, axis=1)
    return rows


def _centres(
    faiss: Any, sample: NDArray[np.float32], cells: int, config: AnnConfig, quiet: bool | None
) -> NDArray[np.float32]:
    """Centres (cells, R) of spherical k-means, a round at a time so that a bar can move."""
    rng = np.random.default_rng(config.seed)
    centres = sample[np.sort(rng.choice(len(sample), cells, replace=False))]
    for _ in tqdm(range(config.iterations), desc="cells", leave=False, disable=quiet):
        means = faiss.Kmeans(
            sample.shape[1],
            cells,
            niter=1,
            spherical=True,
            seed=config.seed,
            min_points_per_centroid=1,
            max_points_per_centroid=len(sample),
        )
        means.train(sample, init_centroids=centres)
        centres = means.centroids
    return centres


def _faiss() -> Any:
    if importlib.util.find_spec("faiss") is None:
        raise InputError(
            "approximate search needs the library faiss",
            where="encoders.retrieval",
            mend="pip install -e '.[ann]', or raise AnnConfig.exact_below",
        )
    import faiss

    return faiss


@contextlib.contextmanager
def _threads(faiss: Any, threads: int) -> Iterator[None]:
    """Pin faiss's threads for a moment: they are those of the whole process."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(threads)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)
