from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import benchmarks  # noqa: F401  (points numba's cache)
from behavior.errors import InputError
from benchmarks.environment import _start
from benchmarks.speed.child import in_child
from benchmarks.speed.limits import limit_terms
from benchmarks.speed.parts import PARTS
from benchmarks.speed.phases import PHASES, separate_phases, whole_step
from benchmarks.speed.worlds import TASK, speed_world
from envs.world import World

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def world() -> World:
    return speed_world(400, width=8)


def test_a_part_runs_in_a_process_of_its_own() -> None:
    found = in_child("catalogue", n_items=400, seconds=0.02, rounds=1, memory=True)
    names = [row.case for row in found]
    assert names[0] == "400 items, B 1,024, 1 thread"
    assert names[1].endswith("actions with repeats")
    assert [row.unit for row in found] == ["user-steps/s", "user-steps/s", "MB", "MB"]
    assert all(row.value > 0 for row in found)
    assert found[0].reference is not None
    assert found[2].value > found[3].value  # a world takes memory


def test_a_part_that_fails_is_named_with_its_last_words() -> None:
    with pytest.raises(InputError, match="no_such_part"):
        in_child("no_such_part")


def test_a_start_that_fails_says_so() -> None:
    with pytest.raises(InputError, match="ZeroDivisionError"):
        _start("nothing", "1 / 0", repeats=1)


def test_the_profile_adds_up(world: World) -> None:
    step, traffic = whole_step(world, 64, seconds=0.2)
    assert min(step.advance, step.renew, step.rest) > 0
    assert 0 < traffic.clicks < TASK.slate_size
    assert 1 / TASK.max_steps <= traffic.ends < 1
    phases = separate_phases(world, 64, seconds=0.2)
    assert tuple(phases) == PHASES
    assert min(phases.values()) > 0
    terms = {term.what: term for term in limit_terms(world, 64, traffic)}
    assert terms["vectors of the shown items"].count == TASK.slate_size
    # 3 blocks hold the numbers of ten clicks; leaving and the next query take one each
    assert terms["random numbers"].count == pytest.approx(3 + traffic.clicks + 2 + 3 * traffic.ends)
    assert all(term.nanoseconds > 0 for term in terms.values())


def test_memory_is_of_this_process_and_its_peak_stays() -> None:
    code = (
        "import numpy as np\n"
        "from benchmarks.speed.parts import peak_memory\n"
        "before = peak_memory()\n"
        "block = np.ones(20_000_000)\n"  # 160 MB
        "held = peak_memory()\n"
        "del block\n"
        "print(before, held, peak_memory())"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    before, held, after = map(float, done.stdout.split())
    assert 155 < held - before < 165
    assert after > held - 2  # the kernel counts pages in batches
    assert before < 1000  # nothing of the process that started it


@pytest.mark.slow
@pytest.mark.parametrize("part", ["faces", "ours", "single_core"])
def test_every_face_can_be_timed(part: str) -> None:
    rounds = {} if part == "ours" else {"rounds": 1}
    found = PARTS[part](seconds=0.02, **rounds)
    assert found
    assert all(row.value > 0 for row in found)


@pytest.mark.slow
def test_threads_are_set_beside_a_kernel_that_shares_nothing() -> None:
    found = in_child("threads", n_threads=2, n_users=128, seconds=0.05, rounds=1)
    assert found[0].case == "1,000 items, B 128, 2 threads"  # the child got its threads
    assert found[1].unit == "times"
    assert found[1].reference is not None
