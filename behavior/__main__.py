"""`python -m behavior formats | inspect | validate | convert | prepare`: look into a log before learning from it."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from behavior.big.command import Prepare
from behavior.dataset import Dataset, load
from behavior.errors import InputError
from behavior.present import print_catalog, print_formats, print_summary

__all__ = ["Convert", "Formats", "Inspect", "Prepare", "Source", "Validate", "main"]


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where the logged behaviour comes from."""

    data: tyro.conf.Positional[str]
    """Your log (CSV, TSV, Parquet, JSON lines), or FORMAT:PATH (`python -m behavior formats` lists them)."""
    catalog: str | None = None
    """Your products (CSV, Parquet, JSON, zip of one; a folder or a pattern with * for several files)."""
    candidates: Path | None = None
    """Each step's candidates, if they are not beside the log as <log>.candidates.<suffix>."""
    columns: Path | None = None
    """Mapping file (YAML or JSON) from our column names to yours; see docs/your-own-logs.md."""
    repairs: tuple[str, ...] = ()
    """Repairs that you allow: sort, derive-steps, positions-from-one, drop-duplicates, drop-unknown-items,
    purchase-implies-click, assume-utc, to-utc. Each is counted; nothing is repaired in silence."""

    gap_minutes: float | None = None
    """For formats that do not know visits: the pause after which a user's events are a new one. 30 if not given."""
    positive_from: float | None = None
    """For formats that do not know clicks: the smallest rating, or share watched, that counts as one."""
    actions: tuple[str, ...] = ()
    """For events whose names your shop chose itself, YOURS=OURS, such as product_click=click; ours are impression,
    click and purchase."""

    def load(self) -> Dataset:
        """Read and validate."""
        return load(
            self.data,
            catalog=self.catalog,
            columns=self.columns,
            repairs=self.repairs,
            candidates=self.candidates,
            gap_minutes=self.gap_minutes,
            positive_from=self.positive_from,
            actions=self.actions,
        )


@dataclass(frozen=True, kw_only=True)
class Formats:
    """List the formats that can be read."""

    def run(self, console: Console) -> None:
        """Print the table."""
        print_formats(console)


@dataclass(frozen=True, kw_only=True)
class Inspect:
    """Show what a log holds: sizes, rates by position, propensities, overlap, and what it supports and does not."""

    source: Annotated[Source, tyro.conf.arg(name="")]
    """The log."""
    plots: Path | None = None
    """A new or empty folder for pictures of the same (PNG)."""

    def run(self, console: Console) -> None:
        """Print the tables, and draw where a folder is named."""
        dataset = self.source.load()
        summary = dataset.log.summary()
        print_catalog(dataset.catalog, console)
        print_summary(summary, console)
        if self.plots is None:
            return
        from behavior.plots import plot_log

        files = plot_log(dataset.log, summary, self.plots)
        console.print(
            f"drawn into {self.plots}: " + ", ".join(file.name for file in files),
            highlight=False,
            soft_wrap=True,
        )


@dataclass(frozen=True, kw_only=True)
class Validate:
    """Check catalogue and log; every fault is named with its row and column."""

    source: Annotated[Source, tyro.conf.arg(name="")]
    """The log."""

    def run(self, console: Console) -> None:
        """Print one line if all is well; what is wrong is raised."""
        dataset = self.source.load()
        steps = dataset.log.to_steps(dataset.catalog)
        console.print(
            f"valid: {len(dataset.log.rows):,} rows, {steps.n_steps:,} steps, {steps.n_sessions:,} sessions, "
            f"{dataset.catalog.n_items:,} items",
            highlight=False,
        )
        for name, count in dataset.log.repaired.items():
            console.print(f"repair {name}: {count:,} rows", highlight=False)
        for note in (*dataset.catalog.notes, *dataset.log.notes):
            console.print(f"note: {note}", highlight=False, markup=False)
        for lack in dataset.log.summary().lacks:
            console.print(f"does not support {lack}", highlight=False, markup=False)


@dataclass(frozen=True, kw_only=True)
class Convert:
    """Write catalogue and log under our column names, as Parquet or CSV."""

    source: Annotated[Source, tyro.conf.arg(name="")]
    """The log."""
    out: Path = field(default=Path("log.parquet"))
    """The log's new file (.parquet or .csv). The catalogue goes beside it as <stem>.catalog.<suffix>, candidates
    as <stem>.candidates.<suffix>. A file that is there already is never overwritten."""

    def run(self, console: Console) -> None:
        """Write the files and name them."""
        beside = self.out.with_name(f"{self.out.stem}.catalog{self.out.suffix}")
        for place in (self.out, beside):  # told before a long file is read
            if place.exists():
                raise InputError(
                    "there is a file already", where=str(place), mend="choose another name with --out"
                )
        dataset = self.source.load()
        dataset.log.write(self.out)
        dataset.catalog.write(beside)
        console.print(f"wrote {self.out} and {beside}", highlight=False, markup=False, soft_wrap=True)


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 2 where the user can mend what went wrong."""
    from behavior.readers.formats import FORMATS

    known = ", ".join(f"{entry.name} ({entry.title})" for entry in FORMATS.values())
    command = tyro.cli(
        Formats | Inspect | Validate | Convert | Prepare,
        prog="python -m behavior",
        description="Look into a log, check it, or write it under our column names or as arrays. "
        f"Formats: {known}.",
        args=(sys.argv[1:] if arguments is None else arguments) or ["--help"],
    )
    try:
        command.run(Console())
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader of a pipe has gone, as `| head` does
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
