"""`python -m evaluation`: judge the policies of a finished run again, with more users or another seed."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import tyro

from behavior.errors import InputError
from evaluation.run_artifacts import JudgeOptions, judge_run

__all__ = ["Arguments", "main"]


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Judge the policies of a finished run again: with more users, another seed, or a choice of policies.

    Prints the final table: score, clicks and purchases per session on held-out users in the true store where it is
    known, in the fitted simulator, and the estimate from the held-out part of the log.
    """

    run: Path
    """Folder of a run that train.py has made, such as logs/demo-ppo-0."""
    judge: tyro.conf.OmitArgPrefixes[JudgeOptions] = field(default_factory=JudgeOptions)
    """How to judge."""
    out: Path | None = None
    """Folder for table.csv and table.json, which must not hold such files yet. Nothing is written without it."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; the exit code."""
    arguments = tyro.cli(Arguments, args=argv, prog="python -m evaluation", description=Arguments.__doc__)
    try:
        _run(arguments)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _run(arguments: Arguments) -> None:
    if not (arguments.run / "config.yaml").is_file():
        raise InputError(
            "this is not the folder of a run: it holds no config.yaml",
            where=str(arguments.run),
            mend="name a folder under logs/ that train.py has made",
        )
    if arguments.judge.users < 2:
        raise InputError(
            f"--users {arguments.judge.users}", where="--users", mend="judge on at least 2 users"
        )
    if arguments.out is not None:
        taken = [name for name in ("table.csv", "table.json") if (arguments.out / name).exists()]
        if taken:
            raise InputError(
                f"{' and '.join(taken)} would be overwritten",
                where=str(arguments.out),
                mend="name another folder with --out",
            )
    from pipeline.artifacts import open_run

    table = judge_run(open_run(arguments.run), arguments.judge)
    table.render()
    if arguments.out is not None:
        for path in table.write(arguments.out):
            print(path)


if __name__ == "__main__":
    sys.exit(main())
