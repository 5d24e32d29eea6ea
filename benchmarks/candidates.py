"""Approximate search in a catalogue of a million items: recall against exact search, speed, memory, changes.

No shop's million texts are at hand, and encoding them would take hours. So the vectors are those of real texts,
perturbed: a real title's MiniLM vector plus normal noise of a norm drawn between 0.2 and 0.8 (cosine with the
original about 0.98 to 0.78), made unit length again. The queries are vectors of real queries, unperturbed. The texts
are Icecat's products and judged queries with `--icecat FOLDER`, the demo store's without.

`python -m benchmarks.candidates [--quick] [--icecat FOLDER] [--json FILE]`
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from benchmarks.common import Case, Options, case, main, result
from encoders.build import reduce_vectors
from encoders.cache import EmbeddingCache, encode_cached
from encoders.candidates import ExactSource
from encoders.retrieval.ann import AnnConfig, AnnIndex, load_index, recall
from encoders.text import catalog_texts

__all__ = ["CandidateOptions", "measure", "perturbed"]


@dataclass(frozen=True, kw_only=True)
class CandidateOptions(Options):
    """What to measure."""

    icecat: Path | None = None
    """Folder of the Icecat products and ratings, as published; without it, the demo store's texts."""
    items: int = 1_000_000
    """Items (`--quick`: 60,000)."""
    width: int = 384
    """Width of the vectors; below 384 they are reduced as `build_features` does."""
    storage: Literal["float32", "float16", "int8"] = "float16"
    """Numbers in the index."""
    threads: int = 1
    """Threads of faiss and of the matrix products."""


def perturbed(real: NDArray[np.float32], n: int, seed: int = 0) -> NDArray[np.float32]:
    """`n` unit vectors (n, R) around the `real` ones (m, R), each as often as any other."""
    rng = np.random.default_rng(seed)
    m, width = real.shape
    out = np.empty((n, width), np.float32)
    for start in range(0, n, 20_000):
        stop = min(start + 20_000, n)
        noise = rng.standard_normal((stop - start, width), np.float32)
        noise *= rng.uniform(0.2, 0.8, (stop - start, 1)).astype(np.float32) / np.float32(width**0.5)
        block = real[np.arange(start, stop) % m] + noise
        out[start:stop] = block / np.linalg.norm(block, axis=1, keepdims=True)
    return out


def measure(options: CandidateOptions) -> dict[str, Any]:
    """All cases; those of the exact search run on fewer queries."""
    import faiss
    import torch

    torch.set_num_threads(options.threads)
    faiss.omp_set_num_threads(options.threads)
    real, queries = _texts(options)
    n = 60_000 if options.quick else options.items
    if options.width < real.shape[1]:
        real, queries = reduce_vectors(real, queries, options.width)
    items = perturbed(real, n)
    # The cells to search are chosen on one half of the queries; all that is reported is measured on the other.
    config = AnnConfig(exact_below=0, storage=options.storage, threads=options.threads)
    known, asked = queries[::2], queries[1::2]
    before = _resident()
    index, seconds = _timed(lambda: AnnIndex.build(items, config, queries=known), time.process_time)
    cases = [
        case("items", n, "items"),
        case("width", items.shape[1], "coordinates"),
        case("real texts perturbed", len(real), "texts"),
        case("queries measured on", len(asked), "queries"),
        case("building", seconds, "CPU-s"),
        case("memory of the index", (_resident() - before) / 2**20, "MiB", items.nbytes / 2**20),
        case("cells searched", index.probes, "cells", index._index.nlist),
    ]
    (exact, _), brute = _timed(lambda: ExactSource(items, tile=32).search(asked[:64], 100), time.process_time)
    (found, _), ann = _timed(lambda: index.search(asked, 100), time.process_time)
    cases.append(case("recall@100 against exact search", recall(found[: len(exact)], exact), ""))
    cases.append(
        case("recall@10 of exact search among the 100", recall(found[: len(exact)], exact[:, :10]), "")
    )
    # Per second of processor time: other work on the machine does not change it much. The reference is exact search.
    cases.append(case("queries answered", len(asked) / ann, "queries/CPU-s", len(exact) / brute))
    cases += _served(index, asked, found)
    cases += _changes(index, items)
    return result("candidates", cases, packages=("numpy", "faiss-cpu"))


def _served(index: AnnIndex, asked: NDArray[np.float32], found: NDArray[np.int32]) -> list[Case]:
    """Saving, and answering out of a memory-mapped file."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "index"
        _, saving = _timed(lambda: index.save(place))
        size = sum(file.stat().st_size for file in place.iterdir()) / 2**20
        before = _resident()
        served, loading = _timed(lambda: load_index(place))
        again, seconds = _timed(lambda: served.search(asked, 100)[0], time.process_time)
        return [
            case("saving", saving, "s"),
            case("size on disk", size, "MiB"),
            case("opening, memory-mapped", loading, "s"),
            case("memory-mapped: same answers", float((again == found).mean()), ""),
            case("memory-mapped: queries answered", len(asked) / seconds, "queries/CPU-s"),
            # Pages of the file count as resident once touched, but are shared and can be dropped.
            case("memory-mapped: memory touched", (_resident() - before) / 2**20, "MiB", size),
        ]


def _changes(index: AnnIndex, items: NDArray[np.float32]) -> list[Case]:
    rows = np.arange(0, len(items), max(1, len(items) // 1000))[:1000]
    _, removing = _timed(lambda: index.remove(rows))
    _, adding = _timed(lambda: index.add(rows, items[rows]))
    return [
        case("removing 1,000 items", removing, "s"),
        case("adding 1,000 items", adding, "s"),
    ]


def _texts(options: CandidateOptions) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Vectors of real item texts (m, R) and of real queries (Q, R)."""
    from encoders.bert import BertEncoder

    if options.icecat is not None:
        from store.icecat import load_icecat

        catalog, ratings = load_icecat(options.icecat)
        texts, queries = list(catalog.titles), sorted(set(ratings["query"].astype(str)))
    else:
        from store import StoreConfig, open_store

        shop = open_store(StoreConfig())
        texts, queries = catalog_texts(shop.catalog), [text for text in shop.queries if text.strip()]
    encoder, cache = BertEncoder(), EmbeddingCache()
    if options.quick:
        texts = texts[:500]
    return encode_cached(encoder, texts, cache), encode_cached(encoder, queries, cache)


def _timed(work: Callable[[], Any], clock: Callable[[], float] = time.perf_counter) -> tuple[Any, float]:
    began = clock()
    found = work()
    return found, clock() - began


def _resident() -> int:
    """Bytes of memory that this process holds."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0


if __name__ == "__main__":
    sys.exit(main(measure, CandidateOptions, description=__doc__))
