"""The command line of `train.py`."""

from __future__ import annotations

import argparse
import difflib
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from behavior.errors import InputError
from pipeline.config import TrainConfig
from pipeline.config_file import read_config
from pipeline.presets import PRESETS, preset

__all__ = ["Arguments", "parse", "report_error"]

_EPILOGUE = "\n".join(f"  {name:6s} {what}" for name, (what, _) in PRESETS.items())

_DESCRIPTION = f"""From a shop's logs to a trained, judged slate policy in one command.

Fits a relevance model and simulated users to the log, trains a slate-ranking policy in them, judges it against
baselines and oracles, and leaves everything in logs/<run>/ (report.html, TensorBoard events, models).

presets:
{_EPILOGUE}

examples:
  python train.py
  python train.py --preset smoke --agent dqn
  python train.py --data open-bandit:obd/random/all
  python train.py --data clicks.csv --catalog products.csv --columns columns.yaml
  python train.py --resume logs/RUN
"""


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """What is typed: where the settings start from, and the settings that differ from there."""

    preset: str = "demo"
    """Start from this preset: demo, smoke, or full."""
    config: Path | None = None
    """Start from this config.yaml of an earlier run instead of a preset."""
    resume: Path | None = None
    """Go on with the run in this folder from its last checkpoint."""
    settings: Annotated[TrainConfig, tyro.conf.arg(name="")] = field(default_factory=TrainConfig)
    """All settings."""


def parse(argv: Sequence[str]) -> Arguments:
    """The arguments.

    Raises:
        InputError: A preset or a configuration file that does not exist or is not valid.
    """
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    first.add_argument("--preset")
    first.add_argument("--config", type=Path)
    first.add_argument("--resume", type=Path)
    start, _ = first.parse_known_args(list(argv))
    if sum(x is not None for x in (start.preset, start.config, start.resume)) > 1:
        raise InputError(
            "--preset, --config and --resume each say where the settings start from",
            where=shlex.join(["train.py", *argv]),
            mend="give one of them; the other options change single settings",
        )
    if start.resume is not None:
        if not (start.resume / "config.yaml").is_file():
            raise InputError(
                "this is not the folder of a run: it holds no config.yaml",
                where=str(start.resume),
                mend=_other_runs(start.resume),
            )
        settings = read_config(start.resume / "config.yaml")
    elif start.config is not None:
        settings = read_config(start.config)
    else:
        settings = preset(start.preset or "demo")
    return tyro.cli(
        Arguments,
        args=list(argv),
        default=Arguments(settings=settings),
        description=_DESCRIPTION,
        prog="python train.py",
        config=(tyro.conf.HelptextFromCommentsOff,),
    )


def report_error(error: InputError, *, rank: int = 0) -> int:
    """Print `error` without a traceback, and whose it is where that is not the first process; the exit code for it."""
    print(f"error{f' in process {rank}' if rank else ''}: {error}", file=sys.stderr)
    return 2


def _other_runs(folder: Path) -> str:
    parent = folder.parent
    runs = sorted(p.parent.name for p in parent.glob("*/config.yaml")) if parent.is_dir() else []
    close = difflib.get_close_matches(folder.name, runs, n=3, cutoff=0.3)
    return f"runs there: {', '.join(close)}" if close else "name a folder under logs/ that train.py has made"
