"""`python -m evaluation`: judge policies by a log, in simulators, and in tests of users.

`--log LOG --policy RUN` judges policies by a log; `--run RUN` judges the policies of a finished run again, with more
users or another seed; `agreement` says how far the run's simulator can be believed about policies; `ab-plan`,
`ab-simulate` and `interleave` plan and rehearse tests with users.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import tyro

from behavior.errors import InputError
from behavior.files import atomic_path, refuse_existing
from evaluation.run_artifacts import JudgeOptions, judge_run

__all__ = ["AgreementArguments", "Arguments", "main"]

_USAGE = """usage: python -m evaluation COMMAND

Judge policies by a log, in simulated users, and in rehearsed tests with users:

  --log LOG --policy RUN [--policy RUN|TABLE|module:function ...] [--simulator NAME ...]
                 policies by a log: every estimator that fits, simulated values, a verdict
  --run RUN      the policies of a finished run again, with other users
  agreement      how far a run's simulator can be believed about policies
  ab-plan        how many users and days an A/B test takes, and when to look
  ab-simulate    rehearse an A/B test of two policies in simulated users
  interleave     rehearse interleaving two policies on one page, beside an A/B test

`python -m evaluation COMMAND --help` (`--log --help`, `--run --help`) says more.
"""


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Judge the policies of a finished run again: with more users, another seed, or a choice of policies.

    Prints the final table: score, clicks and purchases per session on held-out users in the true store where it is
    known, in the fitted simulator, and the estimate from the held-out part of the log. `python -m evaluation agreement
    --help`: how far the simulator itself can be believed.
    """

    run: Path
    """Folder of a run that train.py has made, such as logs/demo-ppo-0."""
    judge: tyro.conf.OmitArgPrefixes[JudgeOptions] = field(default_factory=JudgeOptions)
    """How to judge."""
    out: Path | None = None
    """Folder for table.csv and table.json, which must not hold such files yet. Nothing is written without it."""


@dataclass(frozen=True, kw_only=True)
class AgreementArguments:
    """Say how far a run's simulator can be believed about policies.

    Compares its values of the run's policies and of a set of varied others with those in the true store where it is
    known, else with off-policy estimates from the held-out part of the log; and judges the run's policies in the other
    simulators that were fitted to its log.
    """

    run: Path
    """Folder of a run that train.py has made, such as logs/demo-ppo-0."""
    against: Literal["auto", "store", "log"] = "auto"
    """'store': the true store; 'log': off-policy estimates; 'auto': the store where it is known."""
    users: int = 1000
    """Held-out users that every policy serves in every world."""
    seed: int | None = None
    """Key of the users' chance; the run's own where none is given."""
    quiet: bool = False
    """No progress bars."""
    json: Path | None = None
    """Write the figures here as JSON; a file that exists is not overwritten."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; the exit code."""
    given = list(sys.argv[1:] if argv is None else argv)
    command = given[0] if given else "--help"
    try:
        if command in _COMMANDS:
            arguments, run, shown = _COMMANDS[command]()
            run(
                tyro.cli(
                    arguments,
                    args=given[1:],
                    prog=f"python -m evaluation {shown}",
                    description=arguments.__doc__,
                )
            )
        elif any(word == "--log" or word.startswith("--log=") for word in given):
            from pipeline.judging_command import LogArguments, run_log

            rest = ["--help"] if given == ["--log", "--help"] else given
            run_log(
                tyro.cli(
                    LogArguments, args=rest, prog="python -m evaluation", description=LogArguments.__doc__
                )
            )
        elif given in (["--help"], ["-h"], []):
            print(_USAGE, end="")
        else:
            rest = ["--help"] if given == ["--run", "--help"] else given
            _run(tyro.cli(Arguments, args=rest, prog="python -m evaluation", description=Arguments.__doc__))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _agreement_command() -> tuple[type[Any], Callable[[Any], None], str]:
    return AgreementArguments, _agreement, "agreement"


def _plan_command() -> tuple[type[Any], Callable[[Any], None], str]:
    from evaluation.user_test_commands import ABPlanArguments, run_plan

    return ABPlanArguments, run_plan, "ab-plan"


def _simulate_command() -> tuple[type[Any], Callable[[Any], None], str]:
    from evaluation.user_test_commands import ABSimulateArguments, run_simulate

    return ABSimulateArguments, _with_run(run_simulate), "ab-simulate"


def _interleave_command() -> tuple[type[Any], Callable[[Any], None], str]:
    from evaluation.user_test_commands import InterleaveArguments, run_interleave

    return InterleaveArguments, _with_run(run_interleave), "interleave"


def _with_run(command: Callable[[Any, Any], None]) -> Callable[[Any], None]:
    """The command, given the run that its arguments name, opened."""

    def run(arguments: Any) -> None:
        from pipeline.artifacts import open_run

        _check(arguments.run, arguments.users)
        command(arguments, open_run(arguments.run))

    return run


_COMMANDS: dict[str, Callable[[], tuple[type[Any], Callable[[Any], None], str]]] = {
    "agreement": _agreement_command,
    "ab-plan": _plan_command,
    "ab-simulate": _simulate_command,
    "interleave": _interleave_command,
}
"""Commands by name; each loads what it needs when it is asked for."""


def _check(run: Path, users: int) -> None:
    if not (run / "config.yaml").is_file():
        raise InputError(
            "this is not the folder of a run: it holds no config.yaml",
            where=str(run),
            mend="name a folder under logs/ that train.py has made",
        )
    if users < 2:
        raise InputError(f"--users {users}", where="--users", mend="judge on at least 2 users")


def _run(arguments: Arguments) -> None:
    _check(arguments.run, arguments.judge.users)
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


def _agreement(arguments: AgreementArguments) -> None:
    _check(arguments.run, arguments.users)
    if arguments.json is not None:
        refuse_existing(arguments.json)
    from evaluation.agreement_run import judge_agreement
    from pipeline.agreement import print_chapter
    from pipeline.artifacts import open_run

    options = JudgeOptions(users=arguments.users, seed=arguments.seed, quiet=arguments.quiet)
    chapter = judge_agreement(open_run(arguments.run), options, against=arguments.against)
    print_chapter(chapter, whole=True)
    if arguments.json is not None:
        with atomic_path(arguments.json) as temporary:
            temporary.write_text(json.dumps(chapter.to_json(), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
