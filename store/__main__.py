"""`python -m store`: look at the demo store, write it out as files, or measure its properties."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import tyro

from behavior.errors import InputError
from store.config import StoreConfig
from store.shop import Store, open_store
from store.true_user import TrueUserConfig

__all__ = ["main"]


@dataclass(frozen=True, kw_only=True)
class Source:
    """Which store."""

    icecat: Path | None = None
    """Folder of querqy/chorus with the Icecat products and ratings; without it, the generated demo store."""
    seed: int = 0
    """Seed of the store."""
    products: int = 2400
    """Products of the generated store."""
    queries: int = 480
    """Queries of the generated store."""
    sessions: int = 6000
    """Sessions of its log."""
    cache: bool = True
    """Keep the log under $SLATEGYM_CACHE."""

    def open(self) -> Store:
        """Open it."""
        people = max(1, self.sessions * 2 // 3)
        try:
            config = StoreConfig(
                seed=self.seed,
                n_products=self.products,
                n_queries=self.queries,
                n_sessions=self.sessions,
                n_people=people,
                user=TrueUserConfig(),
            )
        except ValueError as error:
            raise InputError(str(error), where="options", mend="see `python -m store --help`") from error
        if self.icecat is None:
            return open_store(config, cache=self.cache)
        from store.icecat import load_icecat
        from store.stock import stock_store

        catalog, judgments = load_icecat(self.icecat)
        return stock_store(catalog, judgments, config, name="icecat", cache=self.cache)


@dataclass(frozen=True, kw_only=True)
class Show:
    """Print what the store holds, and a few pages of its log."""

    source: Source = field(default_factory=Source)
    """Which store."""
    sessions: int = 2
    """Sessions of the log to print."""

    def run(self) -> None:
        """Print it."""
        store = self.source.open()
        rows = store.log.rows
        n = rows["session_id"].nunique()
        pages = rows[["session_id", "step"]].drop_duplicates().shape[0]
        by_position = rows.groupby("position")["click"].mean()
        print(f"{store.name} store, seed {store.config.seed}")
        print(
            f"  {store.catalog.n_items} products in {store.catalog.frame['category'].nunique()} categories, "
            f"{len(store.queries)} queries"
        )
        print(
            f"  log: {n} sessions of {rows['user_id'].nunique()} people, {pages / n:.2f} pages, "
            f"{rows['click'].sum() / n:.2f} clicks and {rows['purchase'].sum() / n:.2f} purchases a session"
        )
        print("  click rate by position: " + " ".join(f"{rate:.3f}" for rate in by_position))
        titles = dict(zip(store.catalog.item_ids, store.catalog.titles, strict=True))
        for session in rows["session_id"].drop_duplicates().head(self.sessions):
            print(f"\nsession {session}")
            for step, page in rows[rows["session_id"] == session].groupby("step"):
                print(f"  page {step}: query {page['query'].iloc[0]!r}")
                for row in page.itertuples():
                    mark = "*" if row.click and not row.purchase else "$" if row.purchase else " "
                    print(f"   {mark} {titles[row.item_id]}  {row.price:.2f}")


@dataclass(frozen=True, kw_only=True)
class Export:
    """Write catalogue, log, candidates, queries and (apart, for judging) the truth as files."""

    folder: Annotated[Path, tyro.conf.Positional]
    """A new folder."""
    source: Source = field(default_factory=Source)
    """Which store."""
    format: Literal["csv", "parquet"] = "csv"
    """Format of the tables."""

    def run(self) -> None:
        """Write them."""
        if self.folder.exists():
            raise InputError(
                "the folder exists; nothing was written", where=str(self.folder), mend="name a new folder"
            )
        store = self.source.open()
        try:
            (self.folder / "truth").mkdir(parents=True)
            frame = store.catalog.frame
            path = self.folder / f"catalog.{self.format}"
            if self.format == "csv":
                frame.to_csv(path, index=False)
            else:
                frame.to_parquet(path, index=False)
            store.log.write(self.folder / f"log.{self.format}")
            (self.folder / "queries.json").write_text(json.dumps(store.queries, indent=1) + "\n")
            np.save(self.folder / "truth" / "relevance.npy", store.relevance)
        except OSError as error:
            raise InputError(
                f"cannot write: {error}", where=str(self.folder), mend="choose a folder with room and rights"
            ) from error
        print(f"written to {self.folder}")


@dataclass(frozen=True, kw_only=True)
class Properties:
    """Measure what the store claims: ranking, examination, purchases, oracle gap. Prints JSON."""

    source: Source = field(default_factory=Source)
    """Which store."""
    oracle_users: int = 300
    """Users that the oracles serve; 0 leaves the oracles out."""

    def run(self) -> None:
        """Print them."""
        from store.properties import lexical_quality, oracle_gap, position_split, purchase_drivers

        store = self.source.open()
        split = position_split(store)
        found = {
            "lexical": asdict(lexical_quality(store)),
            "clicks_by_position": {
                "logged": split.logged.round(4).tolist(),
                "random_order": split.shuffled.round(4).tolist(),
                "examination_share": round(split.examination_share, 3),
            },
            "purchases_per_click": asdict(purchase_drivers(store)),
        }
        if self.oracle_users:
            found["oracles"] = asdict(oracle_gap(store, n_users=self.oracle_users))
        print(json.dumps(found, indent=2))


def main() -> None:
    """The command."""
    command = tyro.cli(
        Annotated[Show, tyro.conf.subcommand("show")]
        | Annotated[Export, tyro.conf.subcommand("export")]
        | Annotated[Properties, tyro.conf.subcommand("properties")],
        prog="python -m store",
        description=__doc__,
    )
    try:
        command.run()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
