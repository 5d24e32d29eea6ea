"""Which policies are judged by a log, and how; and the words by which a command names policies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from behavior.errors import InputError
from evaluation.intervals import IntervalConfig
from pipeline.log_sources import Part

if TYPE_CHECKING:
    from pipeline.config import SourceOptions

__all__ = ["JudgeLogConfig", "PolicySpec", "parse_policies"]

_TABLES = (".csv", ".tsv", ".parquet", ".json", ".jsonl", ".gz", ".zip")


@dataclass(frozen=True, kw_only=True)
class PolicySpec:
    """A policy as it is named on the command line."""

    name: str
    """What tables call it."""
    kind: Literal["run", "table", "function", "random"]
    """What it is."""
    text: str
    """Folder, file, or module:function."""
    inside: str = ""
    """Of a run: another of its policies than the trained one."""


@dataclass(frozen=True, kw_only=True)
class JudgeLogConfig:
    """What is judged, and how."""

    source: SourceOptions
    """The log."""
    policies: tuple[PolicySpec, ...]
    """Who."""
    part: Part = "test"
    """Which part of the log, by time."""
    simulators: tuple[str, ...] = ()
    """Where they are simulated, too."""
    estimators: tuple[str, ...] = ()
    """All that fit where none is named."""
    truth: bool = True
    """Also in the true store, where it is known."""
    temperature: float = 1.0
    """Of the draw from scores of tables and functions; 0 sorts."""
    missing: Literal["refuse", "last"] = "refuse"
    """What becomes of candidates that a table lacks."""
    users: int = 1000
    """Simulated users."""
    seed: int = 0
    """Key of their chance."""
    purchase_weight: float | None = None
    """The task's where None."""
    interval: IntervalConfig = field(default_factory=IntervalConfig)
    """How intervals are made."""
    estimate_propensities: bool = False
    """Estimate the log's propensities, in place of those it states, if any."""
    allow_trained_on: bool = False
    """Warn of policies that were trained on what judges them, do not refuse them."""
    progress: bool = True
    """Bars."""


def parse_policies(texts: Sequence[str]) -> tuple[PolicySpec, ...]:
    """`RUN`, `RUN#POLICY`, `TABLE`, `module:function` or `random`, each also as `NAME=...`.

    Raises:
        InputError: What is none of these, or a name that comes twice.
    """
    if not texts:
        raise InputError(
            "no policy to judge", where="--policy", mend="name a run, a table or module:function"
        )
    specs = tuple(_parse(text) for text in texts)
    names = [spec.name for spec in specs]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InputError(
            f"two policies are called {twice!r}", where="--policy", mend="name one of them: --policy NAME=..."
        )
    return specs


def _parse(text: str) -> PolicySpec:
    name, equals, rest = text.partition("=")
    if not equals or Path(text).exists():
        name, rest = "", text
    place, _, inside = rest.partition("#")
    if rest == "random":
        return PolicySpec(name=name or "random", kind="random", text=rest)
    if (Path(place) / "config.yaml").is_file():
        label = name or (f"{Path(place).name}#{inside}" if inside else Path(place).resolve().name)
        return PolicySpec(name=label, kind="run", text=place, inside=inside)
    if Path(rest).is_file():
        if Path(rest).suffix not in _TABLES:
            raise InputError(
                f"a table of scores is not read from '{Path(rest).suffix}'",
                where=f"--policy {text}",
                mend=f"give one of {', '.join(_TABLES)}",
            )
        return PolicySpec(name=name or Path(rest).stem, kind="table", text=rest)
    if Path(place).is_dir():
        raise InputError(
            "this is not the folder of a run: it holds no config.yaml",
            where=f"--policy {text}",
            mend="name a folder under logs/ that train.py has made",
        )
    if ":" in rest and "/" not in rest:
        return PolicySpec(name=name or rest.partition(":")[2], kind="function", text=rest)
    raise InputError(
        "there is no such run or table",
        where=f"--policy {text}",
        mend="give the folder of a run, a table of scores (CSV or Parquet), module:function, or random",
    )
