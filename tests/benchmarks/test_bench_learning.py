from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agents.baselines import RandomPolicy
from behavior.errors import InputError
from benchmarks.learning import LearningOptions, measure
from benchmarks.skill.agents import AGENTS, Course, agent_names, agent_place, changed_config, train
from benchmarks.skill.cells import Cell, Plan, read_cell, run_all, validation_score
from benchmarks.skill.docs import tables_of, write_docs
from benchmarks.skill.judging import serve_blocks
from benchmarks.skill.places import open_place, place_names
from benchmarks.skill.statistics import interquartile_interval, interquartile_mean
from benchmarks.skill.summary import pooled_difference, read_all, shares, summary
from benchmarks.skill.watch import Budget, Point, Watch
from benchmarks.tasks import Effort

LITTLE = Budget(steps=768, evaluate_every=256, validation_users=8)


def cell(agent: str, seed: int, scores: list[float], steps: int = 0) -> Cell:
    points = (Point(steps=0, seconds=0.0, score=1.0), Point(steps=steps, seconds=2.0, score=3.0))
    return Cell(
        task="T", agent=agent, seed=seed, scores=np.array(scores), steps=steps, points=points if steps else ()
    )


def test_the_interquartile_mean_leaves_out_a_quarter_at_either_end() -> None:
    assert interquartile_mean(np.array([8.0, 1, 7, 2, 6, 3, 5, 100])) == (3 + 5 + 6 + 7) / 4
    assert interquartile_mean(np.array([1.0, 2, 6])) == 3.0  # a quarter of three is none
    np.testing.assert_array_equal(interquartile_mean(np.array([[0.0, 1, 2, 30], [4, 4, 0, 4]])), [1.5, 4.0])


def test_the_interval_is_that_of_all_resamples() -> None:
    # Two runs, 0 and 1: the resamples 00, 01, 10, 11 are equally likely, so their means are 0, 1/2, 1/2, 1.
    wide = interquartile_interval([np.array([0.0, 1.0])])
    assert (wide.low, wide.value, wide.high) == (0.0, 0.5, 1.0)
    narrow = interquartile_interval([np.array([0.0, 1.0])], level=0.4)
    assert (narrow.low, narrow.high) == (0.5, 0.5)
    assert wide.standard_error == pytest.approx(np.sqrt(1 / 8), rel=0.03)


def test_runs_are_resampled_within_their_task() -> None:
    # Each task keeps its own run: nothing moves. Without strata, half of the resamples would be 0 or 1.
    found = interquartile_interval([np.array([0.0]), np.array([1.0])])
    assert (found.low, found.value, found.high) == (0.5, 0.5, 0.5)


def test_differences_are_paired_by_user_and_pooled_over_seeds() -> None:
    mine = {0: cell("ppo", 0, [10.0, 20.0]), 1: cell("ppo", 1, [30.0, 5.0]), 2: cell("ppo", 2, [0.0, 0.0])}
    other = {0: cell("x", 0, [9.0, 18.0]), 1: cell("x", 1, [27.0, 1.0])}
    found = pooled_difference(mine, other)
    assert found is not None
    interval, least = found
    # Differences 1, 2, 3, 4: mean 2.5, standard deviation sqrt(5/3), t(3) at 97.5 % is 3.18245.
    half = 3.18245 * np.sqrt(5 / 3) / 2
    assert interval.value == 2.5
    assert (interval.low, interval.high) == pytest.approx((2.5 - half, 2.5 + half), rel=1e-5)
    assert least == 1.5  # of seed 0
    assert pooled_difference(mine, {7: cell("x", 7, [1.0, 1.0])}) is None


def test_shares_are_those_of_each_seeds_own_gap() -> None:
    cells = {
        "random": {0: cell("random", 0, [0.0, 2.0]), 1: cell("random", 1, [4.0, 4.0])},
        "belief": {0: cell("belief", 0, [5.0, 5.0]), 1: cell("belief", 1, [8.0, 8.0])},
        "ppo": {0: cell("ppo", 0, [4.0, 4.0], 10), 1: cell("ppo", 1, [5.0, 5.0], 10)},
    }
    np.testing.assert_allclose(shares(cells, "ppo", "belief"), [0.75, 0.25])
    named = {one.case: one for one in summary({"T": cells})}
    assert named["T: ppo, share of random to belief"].value == 0.5
    assert named["T: ppo, score"].value == 4.5
    assert named["T: ppo, steps"].value == 10
    assert "T: belief, share of random to belief" not in named
    assert not any("relevance" in name or "planning" in name for name in named)


def test_the_watch_stands_still_while_it_judges_and_goes_on_from_its_file(tmp_path: Path) -> None:
    def slowly(policy: Any) -> float:
        time.sleep(0.2)
        return 1.5

    watch = Watch(Budget(steps=9, minutes=1.0), slowly, tmp_path / "curve.json")
    watch.set()
    watch.go_on()
    time.sleep(0.02)
    for steps in (10, 20, 20):
        watch.judge(RandomPolicy(), steps)
        watch.go_on()
    watch.stop()
    assert 0.02 <= watch.seconds < 0.2
    assert watch.share_left == pytest.approx(1 - watch.seconds / 60)
    assert [point.steps for point in watch.points] == [10, 20]
    later = Watch(Budget(steps=9), slowly, tmp_path / "curve.json")
    later.set(from_steps=15)
    assert later.points == watch.points[:1]
    assert later.seconds == watch.points[0].seconds
    assert later.share_left == 1.0


def test_agents_and_tasks_are_asked_for_by_name() -> None:
    assert agent_names() == tuple(AGENTS)
    assert agent_names(("ppo", "ppo[gamma=0.5]", "ppo")) == ("ppo", "ppo[gamma=0.5]")
    for wrong in ("sarsa", "ppo[gamma]", "ppo[gamma=1"):
        with pytest.raises(InputError):
            agent_names((wrong,))
    config = changed_config("ppo", {"gamma": 0.5, "network.state_width": 8})
    assert (config.gamma, config.network.state_width) == (0.5, 8)
    for settings in ({"gama": 0.5}, {"network.widht": 3}):
        with pytest.raises(InputError):
            changed_config("dqn", settings)
    assert place_names(("boredom", "SlateRank-Drift-v0", "Demo", "Boredom")) == ("Boredom", "Drift", "Demo")
    assert len(place_names()) == 10
    with pytest.raises(InputError, match="no task named 'Chess'"):
        place_names(("Chess",))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"agent": ("ppo[gama=0.5]",)}, "no setting 'gama'"),
        ({"agent": ("ppo", "dqn[gamma=2]")}, "gamma"),
        ({"agent": ("ppo-sees-all[network.state_width=0]",)}, "state_width"),
        ({"agent": ("ppo[agent=dqn]",)}, "no setting 'agent'"),
        ({"agent": ("ppo[name=dqn]",)}, "no setting 'name'"),
        ({"agent": ("ppo[gamma={]",)}, "is no value"),
        ({"agent": ("linucb[nothing=1]",)}, "no setting nothing"),
        ({"agent": ("td3-direction[algorithm=sac,nothing=1]",)}, "no setting nothing"),
        ({"agent": ("click-greedy[nothing=1]",)}, "no setting nothing"),
        ({"reference": ("random", "nobody")}, "no policy named 'nobody'"),
        ({"steps": 0}, "--steps"),
        ({"evaluate_every": 0}, "--evaluate-every"),
        ({"users": 0}, "--users"),
        ({"jobs": 0}, "--jobs"),
        ({"minutes": 0.0}, "--minutes"),
        ({"seeds": ()}, "no seeds"),
        ({"seeds": (0, 0)}, "named twice"),
        ({"seeds": (-1,)}, "--seeds"),
    ],
)
def test_mistakes_are_seen_before_hours_of_work(options: dict[str, Any], says: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as refused:
        measure(LearningOptions(folder=tmp_path, **options))
    assert says in str(refused.value)
    assert not any(tmp_path.iterdir())


def test_cells_are_trained_once_and_read_after_that(tmp_path: Path) -> None:
    plan = Plan(folder=tmp_path, budget=LITTLE, effort=Effort(users=16))
    what: dict[str, Any] = {
        "tasks": ("Static",),
        "agents": ("ppo[n_envs=64,n_steps=2]", "dqn[n_envs=64,learning_starts=128]"),
        "references": ("random", "relevance"),
        "seeds": (3,),
    }
    assert list(run_all(plan, **what, jobs=1)) == [
        "Static: random, relevance",
        "Static: ppo[n_envs=64,n_steps=2], seed 3",
        "Static: dqn[n_envs=64,learning_starts=128], seed 3",
    ]
    assert list(run_all(plan, **what, jobs=1)) == []
    trained = read_cell(plan.trained("Static", what["agents"][0], 3))
    assert trained is not None
    assert trained.scores.shape == (16,)
    assert trained.steps == 768
    assert [point.steps for point in trained.points] == [0, 256, 512, 768]
    assert 0.0 <= trained.points[0].seconds < trained.points[-1].seconds <= trained.seconds
    kept = json.loads(plan.trained("Static", what["agents"][0], 3).read_text())
    assert (kept["settings"]["n_envs"], kept["settings"]["n_steps"]) == (64, 2)
    cells = read_all(plan, **what)
    assert set(cells["Static"]) == {"random", "relevance", *what["agents"]}
    with pytest.raises(InputError, match="no cell is finished"):
        read_all(plan, **what | {"tasks": ("Drift",)})


@pytest.mark.slow
@pytest.mark.parametrize("agent", ["ppo[n_envs=64,n_steps=2]", "dqn[n_envs=64,learning_starts=128]"])
def test_an_interrupted_training_goes_on_as_if_nothing_had_been(agent: str, tmp_path: Path) -> None:
    place = open_place("Static", tmp_path)
    looks = 0

    def course(folder: str, looks_until_power_fails: int) -> Course:
        def validate(policy: Any) -> float:
            nonlocal looks
            looks += 1
            if looks == looks_until_power_fails:
                raise OSError("no power")
            return validation_score(policy, place, LITTLE, 0)

        watch = Watch(LITTLE, validate, tmp_path / folder / "curve.json")
        return Course(place=place, budget=LITTLE, seed=0, folder=tmp_path / folder, watch=watch)

    whole = train(agent, course("whole", 0))
    looks = 0
    with pytest.raises(OSError, match="no power"):
        train(agent, course("halved", 3))  # at 0, at 256, and then
    looks = 0
    halved = train(agent, course("halved", 0))
    assert looks == 2  # what was seen before is read, not looked at again
    assert [(one.steps, one.score) for one in halved.points] == [
        (one.steps, one.score) for one in whole.points
    ]
    assert halved.steps == whole.steps == 768
    assert not list((tmp_path / "halved").glob("last_model.zip"))


@pytest.mark.slow
@pytest.mark.parametrize(
    "agent",
    ["click-greedy", "linucb", "lints[exploration=0.5,n_envs=64]", "td3-direction[learning_starts=128]"],
)
def test_every_other_agent_learns_by_the_same_watch(agent: str, tmp_path: Path) -> None:
    plan = Plan(folder=tmp_path, budget=LITTLE, effort=Effort(users=16))
    list(run_all(plan, tasks=("Static",), agents=(agent,), references=(), seeds=(0,), jobs=1))
    found = read_cell(plan.trained("Static", agent, 0))
    assert found is not None
    assert found.steps == 768
    assert [point.steps for point in found.points] == ([256, 512, 768] if "lin" in agent else [768])
    assert found.seconds >= found.points[-1].seconds > 0.0
    assert found.scores.shape == (16,)


def test_who_sees_all_meets_the_same_users(tmp_path: Path) -> None:
    place = open_place("Static", tmp_path)
    assert agent_place("ppo[gamma=0.5]", place) is place
    opened = agent_place("ppo-sees-all", place)
    hidden = place.world.simulator.begin(np.arange(3), seed=5).hidden
    seen = opened.world.simulator.begin(np.arange(3), seed=5).context
    np.testing.assert_array_equal(seen[:, -hidden.shape[1] :], hidden)
    ranked = [
        serve_blocks(RandomPolicy(), one.world, one.task, users=16, seed=1).score for one in (place, opened)
    ]
    np.testing.assert_array_equal(ranked[0], ranked[1])


def test_minutes_end_a_training_and_its_step_sizes_fall_by_then(tmp_path: Path) -> None:
    budget = Budget(steps=10_000_000, minutes=0.02, evaluate_every=10_000_000, validation_users=8)
    plan = Plan(folder=tmp_path, budget=budget, effort=Effort(users=8))
    agent = "ppo[n_envs=64,n_steps=2]"
    list(run_all(plan, tasks=("Static",), agents=(agent,), references=(), seeds=(0,), jobs=1))
    found = read_cell(plan.trained("Static", agent, 0))
    assert found is not None
    assert 1.2 <= found.seconds < 20  # 0.02 minutes, and what one more rollout and update may take
    assert 64 <= found.steps < 10_000_000


def test_the_result_fills_tables_and_pictures(tmp_path: Path) -> None:
    folder = tmp_path / "cells"
    options = LearningOptions(
        folder=folder, read=True, task=("Static",), agent=("ppo",), seeds=(0, 1), users=2
    )
    plan = Plan(folder=folder / "full", budget=Budget(steps=options.steps), effort=Effort(users=2))
    for seed in (0, 1):
        for agent, score in (("random", 1.0), ("relevance", 2.0), ("belief", 5.0), ("ppo", 4.0)):
            one = cell(agent, seed, [score, score + 1], 100 if agent == "ppo" else 0)
            file = (
                plan.trained("Static", agent, seed)
                if agent == "ppo"
                else plan.reference("Static", agent, seed)
            )
            file.parent.mkdir(parents=True, exist_ok=True)
            points = [vars(point) for point in one.points]
            file.write_text(
                json.dumps(vars(one) | {"task": "Static", "scores": one.scores.tolist(), "points": points})
            )
    file = plan.trained("Static", "ppo", 1)
    whole = json.loads(file.read_text())
    file.write_text(json.dumps(whole | {"settings": {"gamma": 0.5}}))
    with pytest.raises(InputError, match="ppo was trained by different settings: gamma"):
        measure(options)
    file.write_text(json.dumps(whole))
    found = measure(options)
    assert found["budget"] == "steps300000"
    assert tables_of(found)["learning-share-belief"].splitlines()[2] == "| Static | 75 % (75 to 75) |"
    kept, longer, document = (
        tmp_path / name for name in ("learning_tasks.json", "learning_longer.json", "learning.md")
    )
    document.write_text(
        "<!-- table: learning-above-relevance -->\n<!-- end of table -->\n"
        "<!-- table: learning-longer -->\n<!-- end of table -->\n"
    )
    with pytest.raises(InputError, match="no result"):
        write_docs(kept, longer, document, tmp_path)
    kept.write_text(json.dumps(found))
    write_docs(kept, longer, document, tmp_path)
    assert "| Static | +2.0 (+2.0; +2.0) |" in document.read_text()
    assert "Not measured yet." in document.read_text()
    longer.write_text(json.dumps(found))
    write_docs(kept, longer, document, tmp_path)
    line = next(text for text in document.read_text().splitlines() if text.startswith("| Static | ppo |"))
    assert line.split(" | ")[4] == "75 % (75 to 75)"
    names = {file.name for file in tmp_path.glob("*.svg")}
    assert names == {"learning-steps.svg", "learning-seconds.svg", "learning-shares.svg"}
    before = {name: (tmp_path / name).read_bytes() for name in names}
    write_docs(kept, longer, document, tmp_path)
    assert {name: (tmp_path / name).read_bytes() for name in names} == before
