"""`python -m encoders update`: go on from last week's relevance model with the next week's log."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from behavior.errors import InputError
from behavior.files import atomic_folder, refuse_existing
from encoders.commands.common import print_table
from encoders.continual import ContinualConfig
from encoders.known_queries import KnownQueriesConfig
from pipeline.config import SourceOptions
from pipeline.data import read_source

if TYPE_CHECKING:
    from encoders.weeks import Kept, Log

__all__ = ["Update"]


@dataclass(frozen=True, kw_only=True)
class Update:
    """Go on from last week's model with the next week's log, and say what was learned and what forgotten.

    The new folder keeps what the way needs (pairs remembered, or the importance of weights), so the command can be run
    on it again next week: `--model week-3 --data week-4.csv --out week-4`.
    """

    model: Path
    """Last week's model, a folder that `finetune` or `update` wrote; it stays as it is."""
    out: Path
    """Folder to write the new model to; it must not exist."""
    source: tyro.conf.OmitArgPrefixes[SourceOptions] = field(default_factory=SourceOptions)
    """The new week's log alone, and the catalogue as it is now. Its last sessions are never learned from: they say what
    was learned, and in later weeks what was forgotten."""
    earlier: str = ""
    """At the first update of a model: the log that it was learned from, so that this update holds on to it as well.
    Later updates need none."""
    earlier_catalog: Path | None = None
    """The catalogue of that log; by default --catalog."""
    config: Annotated[ContinualConfig, tyro.conf.arg(name="")] = field(default_factory=ContinualConfig)
    """How to go on."""
    known: KnownQueriesConfig = field(default_factory=KnownQueriesConfig)
    """Vectors of single queries, where the model has any: they are learned on from what they were."""
    device: str = "auto"
    """'auto', 'cpu' or 'cuda', for the encoder."""
    quiet: bool = False
    """No progress bars."""

    def run(self) -> None:
        """Read what is kept, learn, judge, write."""
        from encoders.cache import EmbeddingCache
        from encoders.relevance import RelevanceModel
        from encoders.weeks import add_week, load_kept, save_kept, start_kept

        refuse_existing(self.out)
        model = RelevanceModel.load(self.model, device=self.device, cache=EmbeddingCache())
        kept = load_kept(self.model)
        if kept is not None and self.earlier:
            raise InputError(
                f"the model keeps what it needs of {kept.state.weeks} earlier weeks already",
                where="--earlier",
                mend="leave --earlier out: it is for the first update of a model alone",
            )
        started = kept is None
        new = self._read(self.source)
        if kept is None:
            kept = start_kept(model, self._first(), self.config)
        print(_held(kept, self.config.way, started=started))
        updated, kept, report = add_week(
            model, kept, new, self.config, known=self.known, progress=not self.quiet
        )
        with atomic_folder(self.out) as folder:
            # The model and what it keeps appear together: without the rest, next week would start anew in silence.
            updated.save(folder / "model")
            for path in list((folder / "model").iterdir()):
                path.rename(folder / path.name)
            (folder / "model").rmdir()
            save_kept(folder, kept)
            content = {
                "way": self.config.way,
                "weeks": kept.state.weeks,
                "pairs_remembered": kept.state.memory.n_pairs,
                "queries": len(kept.queries),
                "items": len(kept.item_ids),
                "measured": [row.as_dict() for row in report],
            }
            (folder / "update.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        print_table(
            "last sessions of each week, learned from by neither model",
            ("measured on", "queries", "measure", "old", "new", "gain, 95 % interval"),
            [(row.name, f"{row.n_queries:,}", *cells) for row in report for cells in row.rows()],
        )
        print(f"relevance model: {self.out}: weeks {kept.state.weeks}, queries {len(kept.queries):,}")

    def _read(self, source: SourceOptions) -> Log:
        from encoders.weeks import Log

        shop = read_source(source, progress=not self.quiet)
        return Log(catalog=shop.catalog, train=shop.train, valid=shop.valid, test=shop.test)

    def _first(self) -> Log | None:
        if not self.earlier:
            return None
        catalog = self.earlier_catalog or self.source.catalog
        return self._read(replace(self.source, data=self.earlier, catalog=catalog))


def _held(kept: Kept, way: str, *, started: bool) -> str:
    """What the update holds on to, in words."""
    state = kept.state
    weeks = "one earlier week" if state.weeks == 1 else f"{state.weeks} earlier weeks"
    if started and state.weeks == 0:
        held = "its projection alone" if way == "l2sp" else "nothing of it"
        return (
            "the model was never updated, and keeps nothing of the log it was learned from: this update holds on to "
            f"{held}. What is kept starts with this week. With --earlier LOG, naming that log, the update holds on to "
            "it as well and says what of it is forgotten."
        )
    if way == "naive":
        return f"{weeks} so far; 'naive' holds on to nothing."
    if way == "l2sp":
        return f"{weeks} so far; 'l2sp' holds on to last week's projection."
    if way == "ewc" and state.projection_weight.any():
        return f"'ewc' holds on to every weight by what {weeks} hung on it."
    if way == "replay" and state.memory.n_pairs:
        return f"'replay' remembers {state.memory.n_pairs:,} pairs of {weeks}."
    return f"{weeks} went another way and left nothing that '{way}' holds on to: it starts with this week."
