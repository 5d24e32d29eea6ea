"""`python -m envs`: list, describe, play and check the tasks, and write their documentation."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from behavior.errors import InputError


@dataclass(frozen=True, kw_only=True)
class List:
    """Print the tasks of the suite: sizes, score, and why each is in it."""


@dataclass(frozen=True, kw_only=True)
class Describe:
    """Print the documentation of a task."""

    task: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="TASK")]
    """A name or an id from `list`: Boredom, SlateRank-Boredom-v0."""
    markdown: bool = False
    """Print the Markdown as it is, instead of setting it for the terminal."""


@dataclass(frozen=True, kw_only=True)
class Play:
    """Let a policy serve a user and print each page: what was shown, clicked, bought, and how the user felt."""

    task: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="TASK")]
    """A name or an id from `list`."""
    policy: str = "relevance"
    """random, relevance, popularity, mmr; or myopic, planning, which look into the user (planning practises first)."""
    user: int = 0
    """Number of the first user."""
    users: int = 1
    """Users served one after the other."""
    seed: int = 0
    """Of the users' chance; the policy draws from its own."""
    pages: int | None = None
    """Stop a session after so many pages."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """Run the contract suite of environments on a task, or on a world of your own."""

    target: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="TARGET")] = "all"
    """A name or an id from `list`; or module:function, which gives a World, or a World and a TaskConfig; or 'all':
    every task but the one of a million items."""
    sb3: bool = True
    """Whether to check the Stable-Baselines3 face too, which imports torch."""


@dataclass(frozen=True, kw_only=True)
class Docs:
    """Write one Markdown page a task, and an index, from the tasks' docstrings."""

    out: Path = Path("docs/tasks")
    """Folder; only files that this command wrote are replaced."""


@dataclass(frozen=True, kw_only=True)
class Reference:
    """Keep the reference returns that `python -m benchmarks.tasks --json FILE` measured, for the documentation."""

    file: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="FILE")]
    """The benchmark's JSON. Tasks that it does not speak of keep what they have."""


Command = (
    Annotated[List, tyro.conf.subcommand("list")]
    | Annotated[Describe, tyro.conf.subcommand("describe")]
    | Annotated[Play, tyro.conf.subcommand("play")]
    | Annotated[Check, tyro.conf.subcommand("check")]
    | Annotated[Docs, tyro.conf.subcommand("docs")]
    | Annotated[Reference, tyro.conf.subcommand("reference")]
)


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 0 when it went well, 1 where a check failed, 2 where the user has something to mend."""
    try:
        command = tyro.cli(Command, prog="python -m envs", description=__doc__, args=arguments)
        if isinstance(command, List):
            _list()
        elif isinstance(command, Describe):
            _describe(command)
        elif isinstance(command, Play):
            _play(command)
        elif isinstance(command, Check):
            return _check(command)
        elif isinstance(command, Docs):
            _docs(command)
        else:
            _reference(command)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader (head, less) has seen enough
        sys.stderr.close()
    return 0


def _list() -> None:
    from envs.tasks.pages import task_rows

    rows = task_rows()
    print(f"{'task':<26}{'items':>9}  {'page':>9}  {'pages':>5}  score")
    for row in rows:
        page = f"{row.slate_size} of {row.n_candidates}"
        gap = "" if row.planning_gap is None else f" (gap {100 * row.planning_gap:.0f} %)"
        print(f"{row.id:<26}{row.n_items:>9,}  {page:>9}  {row.max_steps:>5}  {row.score}")
        print(f"    {row.reason}{gap}")
    if any(row.planning_gap is not None for row in rows):
        print("gap: how far an oracle that looks ahead beats one that serves each page best")


def _describe(command: Describe) -> None:
    from envs.tasks import task_env
    from envs.tasks.pages import MARKER, task_page

    page = task_page(task_env(command.task)).removeprefix(f"{MARKER}\n")
    if command.markdown:
        print(page, end="")
        return
    from rich.console import Console
    from rich.markdown import Markdown

    Console().print(Markdown(page))


def _play(command: Play) -> None:
    from envs.core import SlateCore
    from envs.play import character, session_pages
    from envs.tasks import make_task

    for name in ("users", "pages"):
        value = getattr(command, name)
        if value is not None and value < 1:
            raise InputError(f"{name} is {value}", where=f"--{name}", mend="choose at least 1")
    if not 0 <= command.user < 2**62:
        raise InputError(
            f"user is {command.user}", where="--user", mend="choose a number from 0 to 2 ** 62 - 1"
        )
    world, task = make_task(command.task)
    core = SlateCore(world, task, n_users=1, seed=command.seed, first_user=command.user, autoreset="disabled")
    rank = _rank_with(_policy(command.policy, world, task), command.seed, task.slate_size)
    for _ in range(command.users):
        core.reset()
        who = character(world, core.state)
        print(
            f"== user {int(core.state.user[0])}"
            + (f" ({who})" if who else "")
            + f", served by {command.policy}"
        )
        for page in session_pages(core, rank, pages=command.pages):
            print(f"\n{page}", flush=True)
        print()


def _policy(name: str, world: Any, task: Any) -> Any:
    from agents.registry import AgentInputs, make_agent

    if name == "myopic":
        from agents.oracles import MyopicOracle

        return MyopicOracle.for_world(world, task)
    if name == "planning":
        from agents.oracles import PlanningConfig, PlanningOracle

        return PlanningOracle.for_world(world, task, PlanningConfig(progress=True))
    if name not in ("random", "relevance", "popularity", "mmr"):
        raise InputError(
            f"there is no policy {name!r} to play",
            where="--policy",
            mend="choose one of random, relevance, popularity, mmr, myopic, planning",
        )
    return make_agent(name, AgentInputs(features=world.features))


def _rank_with(policy: Any, seed: int, slate_size: int) -> Callable[[Any, Any], Any]:
    from agents.base import Draw
    from evaluation.online import policy_seed

    def rank(observation: Any, state: Any) -> Any:
        return policy.rank(
            observation,
            Draw(seed=policy_seed(seed), user=state.user, step=state.step),
            slate_size=slate_size,
            state=state if policy.privileged else None,
        )

    return rank


def _check(command: Check) -> int:
    from envs.tasks import SUITE, task_env

    if command.target == "all":
        names = [name for name in SUITE if task_env(name).SHOP.n_items < 1_000_000]
    else:
        names = [command.target]
    failed = 0
    for name in names:
        make_world, task = _world_of(name)
        print(f"== {name}", flush=True)
        failed += _run_checks(make_world, task, sb3=command.sb3)
    if failed:
        print(f"{failed} promise{'s' if failed > 1 else ''} broken", file=sys.stderr)
    return 1 if failed else 0


def _world_of(target: str) -> tuple[Callable[[], Any], Any]:
    from envs.tasks import task_env
    from envs.world import TaskConfig, World

    if ":" not in target:
        try:
            env = task_env(target)
        except InputError as error:
            mend = f"{error.mend}; or give module:function for a world of your own"
            raise InputError(error.what, where="target", mend=mend) from error
        return env.make_world, env.TASK
    make = _function(target)
    try:
        made = make()
    except InputError:
        raise
    except Exception as error:
        raise InputError(
            f"{target}() raised {type(error).__name__}: {error}",
            where=target,
            mend="it is called without arguments, and must give a World or (World, TaskConfig)",
        ) from error
    pair = made if isinstance(made, tuple) else (made, TaskConfig())
    if len(pair) != 2 or not isinstance(pair[0], World) or not isinstance(pair[1], TaskConfig):
        raise InputError(
            f"{target}() gave {type(made).__name__}",
            where=target,
            mend="let it give a World, or a World and a TaskConfig",
        )

    def make_world() -> Any:
        again = make()
        return again[0] if isinstance(again, tuple) else again

    return make_world, pair[1]


def _function(target: str) -> Callable[[], Any]:
    name, _, attribute = target.partition(":")
    if not name or not attribute:
        raise InputError(f"{target!r} names no function", where="target", mend="give module:function")
    folder = str(Path.cwd())
    if folder not in sys.path:  # modules of one's own lie where one stands
        sys.path.insert(0, folder)
    try:
        module = importlib.import_module(name)
    except ImportError as error:
        raise InputError(
            f"{name!r} cannot be imported: {error}", where=target, mend="give module:function"
        ) from error
    except Exception as error:
        raise InputError(
            f"importing {name!r} raised {type(error).__name__}: {error}",
            where=target,
            mend="mend the module",
        ) from error
    found = getattr(module, attribute, None)
    if not callable(found):
        raise InputError(f"{name!r} has no function {attribute!r}", where=target, mend="give module:function")
    make: Callable[[], Any] = found
    return make


def _run_checks(make_world: Callable[[], Any], task: Any, *, sb3: bool) -> int:
    from envs import contract

    names = [name for name in contract.__all__ if name.startswith("check_") and name != "check_env_suite"]
    failed = 0
    for name in sorted(names, key=lambda n: (n == "check_sb3", n != "check_gymnasium")):  # torch comes last
        if name == "check_sb3" and not sb3:
            continue
        check = getattr(contract, name)
        promise = (check.__doc__ or name).splitlines()[0]
        try:
            check(make_world, task)
        except Exception as error:  # a world of the user's own may raise anything
            kind = "" if isinstance(error, AssertionError) else f"{type(error).__name__}: "
            print(f"FAILED  {promise}\n        {kind}{error}", flush=True)
            failed += 1
        else:
            print(f"ok      {promise}", flush=True)
    return failed


def _docs(command: Docs) -> None:
    from envs.tasks.pages import write_pages

    for path in write_pages(command.out):
        print(path)


def _reference(command: Reference) -> None:
    from envs.tasks import suite
    from envs.tasks.reference import write_reference

    for task in write_reference(command.file, suite.REFERENCE):
        print(task)
    print(f"kept in {suite.REFERENCE}; `python -m envs docs` renews the pages", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
