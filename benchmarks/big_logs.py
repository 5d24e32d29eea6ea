"""What preparing a log costs per row, and how much memory it takes, as the log grows: `behavior.big`.

`python -m benchmarks.big_logs [--quick] [--json FILE] [--rows 1000000 10000000 100000000] [--keep FILE]
[--folder DIR]`. A synthetic
log of each size (pages of ten items, sessions of four pages that run side by side, ten Parquet files) is dealt out,
checked, split in time and written, and the training sessions are then read once in shuffled batches. Each size has a
process of its own, on one thread; seconds are those that it computed, but for the time by the clock. Writing the
synthetic log is not counted. 100 million rows need some 10 GB of disk meanwhile.

`--write-docs` measures nothing: it writes the table of docs/big-logs.md anew from benchmarks/results/big_logs.json.
"""

from __future__ import annotations

import json
import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from behavior.big import SerialWorkers, prepare_log
from behavior.big.engine import connect, literal
from behavior.catalog import Catalog
from benchmarks.common import Case, Options, case, main, result
from benchmarks.speed.docs import RESULTS, fill_blocks
from benchmarks.speed.table import number, show

__all__ = ["BigLogOptions", "measure", "measure_size", "write_synthetic"]

PAGE = Path(__file__).resolve().parents[1] / "docs" / "big-logs.md"
N_ITEMS = 10_000
N_FILES = 10
BATCH_PAGES = 4096
LIMIT_GB = 4.0
_SIZE = " rows: "

Job = TypeVar("Job")
Found = TypeVar("Found")


@dataclass(frozen=True, kw_only=True)
class BigLogOptions(Options):
    """How many rows, and where."""

    rows: tuple[int, ...] = (1_000_000, 10_000_000, 100_000_000)
    """Sizes of the log, the smallest first (--quick: 100,000 alone)."""
    keep: Path | None = None
    """An earlier result: its figures of other sizes are taken over, so that a long size can be measured alone."""
    folder: Path | None = None
    """Where the files go meanwhile; None: the folder for temporary files."""
    write_docs: bool = False
    """Measure nothing; write the table of docs/big-logs.md from the result that is kept."""


def measure(options: BigLogOptions) -> dict[str, Any]:
    """All sizes as one JSON-ready object."""
    if options.write_docs:
        kept: dict[str, Any] = json.loads((RESULTS / "big_logs.json").read_text(encoding="utf-8"))
        fill_blocks(PAGE, {"big_logs": markdown(kept)})
        return kept
    sizes = (100_000,) if options.quick else options.rows
    cases = [] if options.keep is None else _kept(options.keep, sizes)
    smallest = {row.case.partition(_SIZE)[2]: row.value for row in reversed(cases)}
    for n_rows in sizes:
        context = multiprocessing.get_context("spawn")
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            with ProcessPoolExecutor(1, mp_context=context) as pool:
                pool.submit(write_synthetic, Path(folder) / "log", n_rows).result()
            # a second process: the peak of memory is that of the work alone
            with ProcessPoolExecutor(1, mp_context=context) as pool:
                found = pool.submit(measure_size, Path(folder), n_rows).result()
        here = []
        for name, (value, unit) in found.items():
            reference = LIMIT_GB if unit == "GB" else smallest.setdefault(name, value)
            here.append(case(f"{n_rows:,}{_SIZE}{name}", value, unit, reference))
        show(f"{n_rows:,} rows", here)
        cases += here
    return result("big_logs", cases, packages=("duckdb", "numpy", "pandas", "pyarrow"))


def _kept(path: Path, sizes: Sequence[int]) -> list[Case]:
    """The figures of an earlier result but for those of `sizes`."""
    measured = tuple(f"{n_rows:,}{_SIZE}" for n_rows in sizes)
    rows = json.loads(path.read_text(encoding="utf-8"))["cases"]
    return [Case(**row) for row in rows if not row["case"].startswith(measured)]


def write_synthetic(folder: Path, n_rows: int) -> None:
    """A valid log of `n_rows` rows in `N_FILES` Parquet files, rows in order of time."""
    folder.mkdir()
    with connect(folder / "engine", 1.0) as engine:
        for file in range(N_FILES):
            low, high = n_rows * file // N_FILES, n_rows * (file + 1) // N_FILES
            engine.execute(
                f"""
                COPY (
                    WITH page AS (
                        SELECT r, r // 10 AS p, (r % 10)::INT AS position,
                            (r // 4000) * 100 + (r // 10) % 100 AS session
                        FROM range({low}, {high}) rows(r)
                    ), shown AS (
                        SELECT *, ((p % 400) // 100)::INT AS step, hash(r) % 1000 < 300 // (position + 1) AS clicked,
                            floor({N_ITEMS} * power((hash(p) % 100000) / 100000.0, 3))::BIGINT AS first
                        FROM page
                    )
                    SELECT 's' || session AS session_id, 'u' || (hash(session) % {n_rows // 120 + 1}) AS user_id, step,
                        make_timestamptz(1767225600000000 + p * 100000) AS timestamp,
                        'query ' || (hash(p // 3) % 3000) AS query, position,
                        'i' || ((first + position * 7919) % {N_ITEMS}) AS item_id,
                        clicked::UTINYINT AS click, (clicked AND hash(r + 1) % 20 = 0)::UTINYINT AS purchase,
                        0.1 + 0.9 * (hash(r + 2) % 10000) / 10000.0 AS propensity,
                        (18 + hash(session + 3) % 60)::INT AS context_age,
                        ['phone', 'laptop', 'tablet'][(1 + hash(session + 4) % 3)::INT] AS context_device
                    FROM shown
                ) TO {literal(str(folder / f"part-{file:02d}.parquet"))} (FORMAT parquet)
                """
            )


class _Stopwatch(SerialWorkers):
    """Notes when tasks begin and end, in seconds computed."""

    def __init__(self) -> None:
        self.marks = [time.process_time()]

    def map(self, task: Callable[[Job, int], Found], job: Job, numbers: Iterable[int]) -> Iterator[Found]:
        self.marks.append(time.process_time())
        yield from super().map(task, job, numbers)
        self.marks.append(time.process_time())


def measure_size(folder: Path, n_rows: int) -> dict[str, tuple[float, str]]:
    """Prepare the log at `folder/log` and read it once; figure and unit by name."""
    catalog = Catalog.from_frame(pd.DataFrame({"item_id": [f"i{n}" for n in range(N_ITEMS)]}))
    watch, clock = _Stopwatch(), time.perf_counter()
    prepared = prepare_log(folder / "log", folder / "prepared", catalog=catalog, workers=watch)
    seconds, computed = time.perf_counter() - clock, time.process_time()
    deal, check, numbering, write = np.diff(watch.marks).tolist()
    shown = clicks = 0
    for part in (prepared.train, prepared.valid, prepared.test):
        for batch in part.batches(BATCH_PAGES, np.random.default_rng(0)):
            shown += int((batch.item >= 0).sum())
            clicks += int(batch.click.sum())
    read = time.process_time() - computed
    assert shown == prepared.meta.n_rows == n_rows, "rows were lost or doubled"
    assert clicks == prepared.meta.n_clicks, "clicks were lost"

    def per_row(value: float) -> tuple[float, str]:
        return value / n_rows * 1e6, "µs a row"

    size = sum(file.stat().st_size for file in (folder / "prepared").rglob("*") if file.is_file())
    return {
        "deal out by session": per_row(deal),
        "check and regroup": per_row(check),
        "number": per_row(numbering),
        "write in order of time": per_row(write),
        "prepare, in all": per_row(computed - watch.marks[0]),
        "read once in shuffled batches": per_row(read),
        "prepare, time by the clock": (seconds, "s"),
        "prepared log on disk": (size / n_rows, "bytes a row"),
        # kB on Linux
        "peak memory": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9, "GB"),
    }


def markdown(found: dict[str, Any]) -> str:
    """One line a figure and one column a size of log."""
    sizes = list(dict.fromkeys(row["case"].partition(_SIZE)[0] for row in found["cases"]))
    cells: dict[str, list[str]] = {}
    units: dict[str, str] = {}
    for row in found["cases"]:
        name = row["case"].partition(_SIZE)[2]
        cells.setdefault(name, []).append(number(row["value"]))
        units[name] = row["unit"]
    versions = ", ".join(f"{name} {text}" for name, text in found["versions"].items())
    return "\n".join(
        [
            f"{found['machine']}; {versions}.",
            "",
            f"| | {' | '.join(f'{size} rows' for size in sizes)} | unit |",
            "|---|" + "---:|" * len(sizes) + "---|",
            *(f"| {name} | {' | '.join(values)} | {units[name]} |" for name, values in cells.items()),
        ]
    )


if __name__ == "__main__":
    sys.exit(main(measure, BigLogOptions, description=__doc__))
