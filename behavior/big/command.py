"""`python -m behavior prepare`: a log larger than memory becomes arrays on disk, split in time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from behavior.big.config import BigLogConfig

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["Prepare"]


@dataclass(frozen=True, kw_only=True)
class Prepare:
    """Check a log larger than memory, split it in time, and write it as arrays that are read a chunk at a time."""

    data: tyro.conf.Positional[str]
    """Your log (Parquet, CSV, TSV): a file, a folder of files, or a pattern with * in quotes."""
    out: Path
    """The folder of the result; a folder that is there already is never overwritten."""
    catalog: str | None = None
    """Your products (CSV, Parquet, JSON, zip of one; a folder or a pattern with * for several files)."""
    candidates: Path | None = None
    """Each step's candidates, if they are not beside the log as <log>.candidates.<suffix>."""
    columns: Path | None = None
    """Mapping file (YAML or JSON) from our column names to yours; see docs/your-own-logs.md."""
    repairs: tuple[str, ...] = ()
    """Repairs that you allow, by name; see docs/your-own-logs.md."""
    fractions: tuple[float, float, float] = BigLogConfig.fractions
    """Shares of the sessions for training, validation and test, in order of time."""
    rows_per_part: int = BigLogConfig.rows_per_part
    """Rows checked at a time, about; some 1 kB of memory each."""
    engine_gb: float = BigLogConfig.engine_gb
    """GB of memory that the engine may take before it sorts and joins on disk."""
    ray: str | None = None
    """Spread the work over a Ray cluster: `auto`, `local`, or the address of its head. Every machine must see the
    log's and the result's folder under the same path."""

    def run(self, console: Console) -> None:
        """Prepare, and say what there is."""
        from behavior.big.prepare import prepare_log
        from behavior.big.workers import RayWorkers

        config = BigLogConfig(
            rows_per_part=self.rows_per_part, engine_gb=self.engine_gb, fractions=self.fractions
        )
        prepared = prepare_log(
            self.data,
            self.out,
            catalog=self.catalog,
            columns=self.columns,
            repairs=self.repairs,
            candidates=self.candidates,
            config=config,
            workers=None if self.ray is None else RayWorkers(self.ray),
        )
        meta = prepared.meta
        lines = [
            f"wrote {prepared.folder}: {meta.n_rows:,} rows, {sum(p.n_steps for p in meta.split):,} steps, "
            f"{sum(p.n_sessions for p in meta.split):,} sessions, {meta.n_users:,} users, "
            f"{prepared.catalog.n_items:,} items, {len(prepared.queries):,} queries",
            *(
                f"{part.name}: {part.n_sessions:,} sessions that began from {part.first_start} to {part.last_start}"
                for part in meta.split
            ),
            *(f"repair {name}: {count:,} rows" for name, count in meta.repaired.items()),
            *(f"note: {note}" for note in (*prepared.catalog.notes, *meta.notes)),
        ]
        for line in lines:
            console.print(line, highlight=False, markup=False, soft_wrap=True)
