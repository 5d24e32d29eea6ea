"""Tests with users: arguments of `python -m evaluation ab-plan`, `ab-simulate`, `interleave`, and what they print."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from behavior.errors import InputError
from behavior.files import atomic_path, refuse_existing
from evaluation.ab_test import ABDesign, ABPlan, plan_ab_test
from evaluation.sequential import Spending

if TYPE_CHECKING:
    from agents.base import Policy
    from envs.world import World
    from evaluation.run_artifacts import RunArtifacts

__all__ = [
    "ABPlanArguments",
    "ABSimulateArguments",
    "InterleaveArguments",
    "run_interleave",
    "run_plan",
    "run_simulate",
]


@dataclass(frozen=True, kw_only=True)
class ABPlanArguments:
    """Say how many users and days an A/B test takes, and at which figures it may stop early."""

    mean: float
    """Score per user (or per session, if these are your units) under the policy of today."""
    deviation: float
    """Standard deviation of the score between users; for a rate p it is sqrt(p (1 - p))."""
    effect: float | None = None
    """Difference of the means that is to be found."""
    lift: float | None = None
    """The same as a share of the mean, such as 0.02, in place of --effect."""
    alpha: float = 0.05
    """Chance of calling a difference where there is none, over all looks together."""
    power: float = 0.8
    """Chance of finding the effect where it is there."""
    looks: int = 1
    """Analyses, evenly spaced; 1: at the end alone."""
    spending: Spending = "obrien-fleming"
    """How the error is spent over the looks: little at first (obrien-fleming), evenly (pocock), or none before the
    end."""
    users_per_day: float | None = None
    """New users a day who take part, both arms together."""
    share: float = 0.5
    """Share of the users who see the new policy."""
    json: Path | None = None
    """Write the plan here; a file that exists is not overwritten."""


@dataclass(frozen=True, kw_only=True)
class ABSimulateArguments:
    """Rehearse an A/B test of two policies in simulated users: power, false alarms, users, what early stops cost."""

    run: Path
    """Folder of a run that train.py has made; its policies and worlds are used."""
    today: str
    """Policy of today, by its name in the run, such as behavior or relevance."""
    new: str
    """The new policy, such as ppo."""
    world: Literal["auto", "store", "simulator"] = "auto"
    """Whose users: the true store's, the fitted simulator's, or the store's where it is known."""
    users: int = 2000
    """Users whom both policies serve; tests are drawn from them."""
    rehearsals: int = 1000
    """How often the test is rehearsed."""
    effect: float | None = None
    """Difference that the test is planned for; what the pool shows if none is given."""
    alpha: float = 0.05
    """Level of the test."""
    power: float = 0.8
    """Power that it is planned for."""
    looks: int = 5
    """Analyses, evenly spaced."""
    spending: Spending = "obrien-fleming"
    """How the error is spent over the looks."""
    seed: int = 0
    """Of users and drawing."""
    quiet: bool = False
    """No progress bars."""
    json: Path | None = None
    """Write the figures here; a file that exists is not overwritten."""


@dataclass(frozen=True, kw_only=True)
class InterleaveArguments:
    """Rehearse interleaving: two policies share each page, and clicks say which is preferred; beside an A/B test."""

    run: Path
    """Folder of a run that train.py has made; its policies and worlds are used."""
    first: str
    """A policy by its name in the run, such as ppo."""
    second: str
    """Another, such as behavior."""
    methods: tuple[Literal["team-draft", "probabilistic"], ...] = ("team-draft", "probabilistic")
    """How pages are shared."""
    world: Literal["auto", "store", "simulator"] = "auto"
    """Whose users: the true store's, the fitted simulator's, or the store's where it is known."""
    users: int = 2000
    """Simulated users of each kind."""
    alpha: float = 0.05
    """Level of the tests whose sizes are compared."""
    power: float = 0.8
    """Power of these."""
    seed: int = 0
    """Of users and coins."""
    quiet: bool = False
    """No progress bars."""
    json: Path | None = None
    """Write the figures here; a file that exists is not overwritten."""


def run_plan(arguments: ABPlanArguments) -> None:
    """Plans and prints."""
    if (arguments.effect is None) == (arguments.lift is None):
        raise InputError(
            "give the difference that is to be found, in one way",
            where="--effect, --lift",
            mend="--effect in units of the score, or --lift as a share of the mean",
        )
    if arguments.json is not None:
        refuse_existing(arguments.json)
    effect = arguments.effect if arguments.effect is not None else (arguments.lift or 0.0) * arguments.mean
    plan = plan_ab_test(
        ABDesign(
            mean=arguments.mean,
            deviation=arguments.deviation,
            effect=effect,
            alpha=arguments.alpha,
            power=arguments.power,
            looks=arguments.looks,
            spending=arguments.spending,
            users_per_day=arguments.users_per_day,
            share=arguments.share,
        )
    )
    print_plan(plan)
    _write(arguments.json, plan.to_json())


def print_plan(plan: ABPlan) -> None:
    """Sizes in words, and the looks as a table."""
    console = Console()
    design = plan.design
    lines = [
        f"To find {design.effect:+.4g} a user ({design.effect / design.mean:+.2%} of {design.mean:.4g}) with power "
        f"{design.power:.0%} at level {design.alpha:.0%}: {plan.users:,} users, both arms together"
        + (f" (one look at the end alone: {plan.fixed:,})." if design.looks > 1 else "."),
        f"If it is there, the test ends after {plan.expected:,.0f} users on average."
        if design.looks > 1
        else "Look once, at the end: looking early and stopping calls differences that are not there.",
        f"Looking after every user, by a confidence sequence, takes up to {plan.anytime:,}.",
    ]
    if plan.days is not None:
        lines.append(
            f"At {design.users_per_day:,.0f} users a day that is {plan.days:.1f} days: plan {plan.weeks} whole "
            f"week{'s' if plan.weeks != 1 else ''}, because users of weekdays and weekends differ."
        )
    for line in lines:
        console.print(Text(line))
    table = Table(box=SIMPLE_HEAD, show_edge=False)
    for heading in ("look", "users", "|z| above", "difference above", "chance of stopping here"):
        table.add_column(heading, justify="right")
    for k, users, z, difference, stops in plan.rows():
        table.add_row(str(k), f"{users:,}", f"{z:.3f}", f"{difference:.4g}", f"{stops:.1%}")
    console.print(table)


def run_simulate(arguments: ABSimulateArguments, held: RunArtifacts) -> None:
    """Rehearses and prints.

    Args:
        arguments: Of the command.
        held: The opened run.
    """
    from evaluation.ab_simulation import rehearse_ab_test
    from evaluation.online import evaluate_policy

    if arguments.json is not None:
        refuse_existing(arguments.json)
    if arguments.users < 50:
        raise InputError(f"--users {arguments.users}", where="--users", mend="serve 50 users or more")
    world = _world(held, arguments.world)
    scores = [
        evaluate_policy(
            _policy(held, name),
            world,
            held.task,
            n_users=arguments.users,
            seed=arguments.seed,
            first_user=held.first_user,
            name=name,
            progress=not arguments.quiet,
        ).score
        for name in (arguments.today, arguments.new)
    ]
    today, new = scores
    effect = float((new - today).mean()) if arguments.effect is None else arguments.effect
    deviation = float(((today.var(ddof=1) + new.var(ddof=1)) / 2) ** 0.5)
    if effect == 0 or deviation == 0:
        raise InputError(
            "the two policies are worth the same to every user of the pool",
            where="A/B rehearsal",
            mend="choose two that differ, or give --effect",
        )
    plan = plan_ab_test(
        ABDesign(
            mean=float(today.mean()),
            deviation=deviation,
            effect=effect,
            alpha=arguments.alpha,
            power=arguments.power,
            looks=arguments.looks,
            spending=arguments.spending,
        )
    )
    print_plan(plan)
    found = rehearse_ab_test(today, new, plan, rehearsals=arguments.rehearsals, seed=arguments.seed)
    for line in found.sentences():
        Console().print(Text(line))
    _write(arguments.json, found.to_json())


def run_interleave(arguments: InterleaveArguments, held: RunArtifacts) -> None:
    """Interleaves and prints.

    Args:
        arguments: Of the command.
        held: The opened run.
    """
    from evaluation.interleaving_run import compare_by_interleaving

    if arguments.json is not None:
        refuse_existing(arguments.json)
    world = _world(held, arguments.world)
    found = []
    for method in arguments.methods:
        one = compare_by_interleaving(
            _policy(held, arguments.first),
            _policy(held, arguments.second),
            world,
            held.task,
            names=(arguments.first, arguments.second),
            method=method,
            n_users=arguments.users,
            seed=arguments.seed,
            first_user=held.first_user,
            alpha=arguments.alpha,
            power=arguments.power,
            progress=not arguments.quiet,
        )
        for line in one.sentences():
            Console().print(Text(line))
        found.append(one.to_json())
    _write(arguments.json, {"interleaving": found})


def _policy(held: RunArtifacts, name: str) -> Policy:
    if name not in held.policies:
        raise InputError(
            f"the run holds no policy named {name!r}",
            where="policy",
            mend=f"choose from: {', '.join(held.policies)}",
        )
    return held.policies[name]


def _world(held: RunArtifacts, wanted: str) -> World:
    if wanted == "store" and held.world_true is None:
        raise InputError(
            "the truth about this shop is not known", where="--world store", mend="use --world simulator"
        )
    return held.world_fitted if wanted == "simulator" or held.world_true is None else held.world_true


def _write(path: Path | None, content: dict[str, Any]) -> None:
    if path is not None:
        with atomic_path(path) as temporary:
            temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
