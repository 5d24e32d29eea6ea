"""The parts of the environment benchmark, each run in a process of its own (`benchmarks.speed.child`)."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numpy as np

from benchmarks.common import Case, case
from benchmarks.speed import contestants as us
from benchmarks.speed.limits import limit_terms
from benchmarks.speed.phases import separate_phases, whole_step
from benchmarks.speed.table import number
from benchmarks.speed.timing import Contestant, in_turn, pages, turning
from benchmarks.speed.worlds import TASK, speed_world
from envs.core import SlateCore

__all__ = ["PARTS", "peak_memory"]

STEPS = "user-steps/s"
MEMORY_BOUND = 1000.0  # MB, of the issue that asked for it


def peak_memory() -> float:
    """The most memory this process ever held, in MB (10^6 bytes)."""
    status = Path("/proc/self/status")
    if status.is_file():  # not getrusage: a child inherits its parent's peak there
        line = next(row for row in status.read_text().splitlines() if row.startswith("VmHWM"))
        return float(line.split()[1]) * 1024 / 1e6
    import resource

    peak = float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


def catalogue(*, n_items: int, seconds: float, rounds: int, memory: bool) -> list[Case]:
    """The batched core against the naive step; the best of all rounds of each.

    Args:
        n_items: Catalogue items I.
        seconds: A contestant's window.
        rounds: Turns.
        memory: Whether the memory that world and core need is reported too.
    """
    imports = peak_memory()
    world = speed_world(n_items)
    what = f"{n_items:,} items, B 1,024, 1 thread"
    ours = us.core(world, 1024)
    if ours.before is not None:
        ours.before()
    for i in range(50):
        ours.step(i)
    cases = []
    if memory:
        peak = peak_memory()
        name = f"memory, {n_items:,} items with 64-wide vectors"
        cases = [
            case(f"{name}: peak of the process", peak, "MB", MEMORY_BOUND),
            case(f"{name}: of it before the world is made", imports, "MB"),
        ]
    plan = {"naive": us.naive(world, 1024), "ours": ours, "sampled": us.core(world, 1024, distinct=False)}
    best = {name: max(rates) for name, rates in in_turn(plan, seconds=seconds, rounds=rounds).items()}
    return [
        case(what, best["ours"], STEPS, best["naive"]),
        case(f"{what}, actions with repeats", best["sampled"], STEPS, best["naive"]),
        *cases,
    ]


def faces(*, seconds: float, rounds: int) -> list[Case]:
    """Every face at a thousand items, each beside what it should be compared with."""
    world = speed_world(1000)
    plan = {
        "naive, one user": us.naive(world, 1),
        "single": us.single(world),
        "core": us.core(world, 1024),
        "VectorEnv": us.vector(world, 1024),
        "SB3": us.sb3(world, 1024),
        "VectorEnv of 64": us.vector(world, 64),
        "SyncVectorEnv of 64": us.sync(world, 64),
    }
    best = {name: max(rates) for name, rates in in_turn(plan, seconds=seconds, rounds=rounds).items()}
    return [
        case(
            "single Env by gymnasium.make, 1,000 items, 1 thread (reference: the naive kernel for one user)",
            best["single"],
            STEPS,
            best["naive, one user"],
        ),
        case(
            "VectorEnv, 1,000 items, B 1,024, 1 thread (reference: the core)",
            best["VectorEnv"],
            STEPS,
            best["core"],
        ),
        case(
            "SB3 VecEnv, 1,000 items, B 1,024, 1 thread (reference: the core)",
            best["SB3"],
            STEPS,
            best["core"],
        ),
        case(
            "VectorEnv, 1,000 items, B 64, 1 thread (reference: a SyncVectorEnv of 64)",
            best["VectorEnv of 64"],
            STEPS,
            best["SyncVectorEnv of 64"],
        ),
    ]


def threads(*, n_users: int, seconds: float, rounds: int) -> list[Case]:
    """What all threads gain over one, beside what the naive kernel, whose users share nothing, gains."""
    world, every = speed_world(1000), numba.get_num_threads()
    plan = {
        "naive, one": us.naive(world, n_users, n_threads=1),
        "naive, all": us.naive(world, n_users, n_threads=every),
        "ours, one": us.core(world, n_users, n_threads=1),
        "ours, all": us.core(world, n_users, n_threads=every),
    }
    best = {name: max(rates) for name, rates in in_turn(plan, seconds=seconds, rounds=rounds).items()}
    what = f"1,000 items, B {n_users:,}"
    gain = best["naive, all"] / best["naive, one"]
    return [
        case(f"{what}, {every} threads", best["ours, all"], STEPS, best["naive, all"]),
        case(
            f"{what}: gain of {every} threads over one", best["ours, all"] / best["ours, one"], "times", gain
        ),
    ]


def ours(*, seconds: float) -> list[Case]:
    """One round of the single environment and of the batched core, to be set beside a peer's."""
    world = speed_world(1000)
    plan = {"single Env": us.single(world), "batched core, B 1,024, one thread": us.core(world, 1024)}
    rates = in_turn(plan, seconds=seconds, rounds=1)
    return [case(name, found[0], "steps/s") for name, found in rates.items()]


def single_core(*, seconds: float, rounds: int) -> list[Case]:
    """The batched core on one thread."""
    rates = in_turn({"ours": us.core(speed_world(1000), 1024)}, seconds=seconds, rounds=rounds)
    return [case("single core, 1,000 items, B 1,024, 1 thread", max(rates["ours"]), STEPS)]


def feed(*, device: str, n_users: int, seconds: float, rounds: int) -> list[Case]:
    """All threads, first sent nowhere, then arriving on the device."""
    import torch

    from benchmarks.speed.feed import DeviceFeed

    world, every = speed_world(1000), numba.get_num_threads()
    core = SlateCore(world, TASK, n_users=n_users)
    core.reset(seed=1)
    to_device = DeviceFeed(core, torch.device(device))
    slates = pages(n_users, TASK.n_candidates, TASK.slate_size, distinct=True, n_pages=4)
    plan = {
        "alone": us.core(world, n_users, n_threads=every),
        "arriving": Contestant(step=turning(to_device.step, slates), per_call=n_users, after=to_device.wait),
    }
    best = {name: max(rates) for name, rates in in_turn(plan, seconds=seconds, rounds=rounds).items()}
    wrote, there = to_device.step(slates[0]).observation.as_dict(), to_device.arrived().as_dict()
    wrong = [name for name, array in wrote.items() if not np.array_equal(array, there[name])]
    if wrong:
        raise RuntimeError(f"what arrived differs from what was written: {', '.join(wrong)}")
    return [case(name, rate, STEPS) for name, rate in best.items()]


def profile(*, n_items: int, seconds: float) -> list[Case]:
    """Where the time of a step goes, on one thread, beside its lower limit."""
    numba.set_num_threads(1)
    world, n_users = speed_world(n_items), 1024
    step, traffic = whole_step(world, n_users, seconds=seconds)
    phases = separate_phases(world, n_users, seconds=seconds)
    terms = limit_terms(world, n_users, traffic)
    whole = step.advance + step.renew + step.rest
    limit = sum(term.nanoseconds for term in terms)
    what = f"{n_items:,} items"

    def share(name: str, value: float, of: float) -> Case:
        return case(f"{what}: {name}", value, "ns a user-step", of)

    return [
        share("the whole step (reference: the lower limit)", whole, limit),
        share("of it the one pass (reference here and below: the whole step)", step.advance, whole),
        share("of it renewing finished sessions", step.renew, whole),
        share("of it Python", step.rest, whole),
        *(share(f"as a kernel of its own: {name}", value, whole) for name, value in phases.items()),
        *(
            case(
                f"{what}: limit: {term.what}",
                term.nanoseconds,
                f"ns a user-step, {number(term.count)} {term.unit}",
                limit,
            )
            for term in terms
        ),
        case(f"{what}: clicks a page", traffic.clicks, "clicks"),
        case(f"{what}: steps that end a session", traffic.ends, "share"),
    ]


def training(**arguments: Any) -> list[Case]:
    """One learner, end to end and its network alone; see `benchmarks.speed.learners`, which loads torch."""
    from benchmarks.speed import learners

    return learners.training(**arguments)


def sb3_training(**arguments: Any) -> list[Case]:
    """SB3's own loop beside ours; see `benchmarks.speed.learners`, which loads torch."""
    from benchmarks.speed import learners

    return learners.sb3_training(**arguments)


PARTS: dict[str, Callable[..., list[Case]]] = {
    "catalogue": catalogue,
    "faces": faces,
    "threads": threads,
    "ours": ours,
    "single_core": single_core,
    "feed": feed,
    "profile": profile,
    "training": training,
    "sb3_training": sb3_training,
}
"""What `benchmarks.speed.child` can run."""
