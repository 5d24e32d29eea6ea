"""Search for the settings of a learner, on other seeds than those that are reported.

`python -m benchmarks.tuning --agent ppo --task Boredom Demo [--trials 40] [--steps N] [--minutes M] [--seeds 1000 1001]
[--quick] [--json FILE]` trains with settings that Optuna proposes (tree-structured Parzen estimators), the present
defaults first, and looks at validation users only. A trial's figure is the best score of its curve over that of
relevance order on the same users, less one, averaged over tasks and seeds. Trials that fall behind on the way are given
up. The study is kept in `--folder` (SQLite): the same command goes on with it, and the best trial stands there as YAML.

Needs Optuna: pip install 'slategym[tune]'.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import yaml

from agents.baselines import RelevancePolicy
from behavior.errors import InputError
from behavior.files import atomic_path
from benchmarks.common import Options, case, main, result
from benchmarks.skill.agents import Course, train
from benchmarks.skill.cells import validation_score
from benchmarks.skill.checks import check_counts, check_minutes, check_seeds
from benchmarks.skill.places import open_place, place_names
from benchmarks.skill.search_space import SPACES, Choice, default_of
from benchmarks.skill.watch import Budget, Watch

if TYPE_CHECKING:
    import optuna

__all__ = ["TuningOptions", "measure"]

ROOT = Path(__file__).resolve().parent.parent
FIRST_SEED = 1_000
"""Seeds below this are for what is reported."""


@dataclass(frozen=True, kw_only=True)
class TuningOptions(Options):
    """What is tuned, where, and for how long."""

    agent: Literal["ppo", "dqn"] = "ppo"
    """Whose settings."""
    task: tuple[str, ...] = ("Boredom", "Satisfaction", "Demo")
    """Tasks that count alike."""
    seeds: tuple[int, ...] = (1_000,)
    """From 1000: the others are reported on."""
    fields: tuple[str, ...] = ()
    """Settings to search over, such as gamma network.state_width; all of the agent's space by default."""
    trials: int = 40
    """Trials, those of earlier sittings included."""
    steps: int = 150_000
    """User-steps of each training."""
    minutes: float | None = None
    """Minutes of each training, where they are up before."""
    clock: Literal["wall", "cpu"] = "wall"
    """Of the wall, or of the processor."""
    evaluate_every: int = 15_000
    """User-steps between looks at the validation users, at which a trial may be given up."""
    pruner: Literal["median", "halving", "none"] = "median"
    """Give up what is below the median of the trials so far, all but the best third again and again, or nothing."""
    folder: Path = ROOT / "logs" / "tuning"
    """Where studies lie."""


def measure(options: TuningOptions) -> dict[str, Any]:
    """Run the trials that are missing; the best and the default's figure.

    Raises:
        InputError: Seeds that are reported on, an unknown setting or task, or no Optuna.
    """
    low = [seed for seed in options.seeds if seed < FIRST_SEED]
    if low or not options.seeds:
        raise InputError(
            f"seeds {', '.join(map(str, low)) or 'are missing'}",
            where="--seeds",
            mend=f"tune on seeds from {FIRST_SEED}; those below are for what is reported",
        )
    check_seeds(options.seeds)
    check_counts(
        {"--steps": options.steps, "--evaluate-every": options.evaluate_every, "--trials": options.trials}
    )
    check_minutes(options.minutes)
    space = SPACES[options.agent]
    unknown = [name for name in options.fields if name not in space]
    if unknown:
        raise InputError(
            f"{options.agent} has no setting {', '.join(unknown)} to search over",
            where="--fields",
            mend=f"choose among {', '.join(space)}",
        )
    try:
        import optuna
    except ImportError:
        raise InputError(
            "Optuna is not installed", where="benchmarks.tuning", mend="pip install 'slategym[tune]'"
        ) from None
    tasks, trials = place_names(options.task), options.trials
    budget = Budget(
        steps=options.steps,
        minutes=options.minutes,
        evaluate_every=options.evaluate_every,
        clock=options.clock,
    )
    if options.quick:
        tasks, trials = tasks[:1], min(trials, 2)
        budget = Budget(steps=8_192, evaluate_every=4_096, minutes=0.1, validation_users=32)
    names = options.fields or tuple(space)
    home = options.folder / f"{options.agent}-{'-'.join(tasks)}-{budget.label}"
    home.mkdir(parents=True, exist_ok=True)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        storage=f"sqlite:///{home / 'study.db'}",
        study_name="study",
        load_if_exists=True,
        direction="maximize",
        sampler=optuna.samplers.TPESampler(seed=options.seeds[0], multivariate=False),
        pruner=_pruner(options.pruner),
    )
    done = [trial for trial in study.trials if trial.state.is_finished() and trial.state.name != "FAIL"]
    if not study.trials:
        defaults = default_of(options.agent)
        study.enqueue_trial({name: defaults[name] for name in names if name in defaults})
    objective = _Objective(options.agent, names, tasks, options.seeds, budget, home)
    study.optimize(
        objective, n_trials=max(0, trials - len(done)), show_progress_bar=sys.stderr.isatty(), catch=()
    )
    return _report(study, options.agent, home)


def _pruner(name: str) -> optuna.pruners.BasePruner:
    import optuna

    if name == "median":
        return optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=2)
    if name == "halving":
        return optuna.pruners.SuccessiveHalvingPruner(min_resource=2, reduction_factor=3)
    return optuna.pruners.NopPruner()


@dataclass(frozen=True)
class _Objective:
    """One trial: a training on each task with each seed."""

    agent: str
    names: tuple[str, ...]
    tasks: tuple[str, ...]
    seeds: tuple[int, ...]
    budget: Budget
    home: Path

    def __call__(self, trial: optuna.Trial) -> float:
        settings = {name: _suggest(trial, name, self.agent) for name in self.names}
        told = ",".join(f"{name}={value}" for name, value in settings.items())
        gains: list[float] = []
        looks = 0
        for task in self.tasks:
            place = open_place(task, self.home.parent)
            for seed in self.seeds:
                plain = validation_score(RelevancePolicy(), place, self.budget, seed)

                def validate(policy: Any, task: str = task, seed: int = seed, plain: float = plain) -> float:
                    nonlocal looks
                    place = open_place(task, self.home.parent)
                    score = validation_score(policy, place, self.budget, seed)
                    # The same looks of all trials are at the same tasks, so they stand side by side.
                    trial.report(float(np.mean([*gains, score / plain - 1.0])), looks)
                    looks += 1
                    if trial.should_prune():
                        import optuna

                        raise optuna.TrialPruned
                    return score

                watch = Watch(self.budget, validate)
                folder = self.home / f"trial{trial.number}-{task}-{seed}"
                course = Course(place=place, budget=self.budget, seed=seed, folder=folder, watch=watch)
                try:
                    train(f"{self.agent}[{told}]", course)
                finally:
                    _clear(folder)
                gains.append(max(point.score for point in watch.points) / plain - 1.0)
        return float(np.mean(gains))


def _clear(folder: Path) -> None:
    """Checkpoints of a trial are of no further use, and a replay is large."""
    for name in ("last_model.zip", "best_model.zip"):
        (folder / name).unlink(missing_ok=True)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def _suggest(trial: optuna.Trial, name: str, agent: str) -> Any:
    space = SPACES[agent][name]
    if isinstance(space, Choice):
        return trial.suggest_categorical(name, space.values)
    if space.whole:
        return trial.suggest_int(name, int(space.low), int(space.high), log=space.log)
    return trial.suggest_float(name, space.low, space.high, log=space.log)


def _report(study: optuna.Study, agent: str, home: Path) -> dict[str, Any]:
    finished = [trial for trial in study.trials if trial.state.name == "COMPLETE"]
    if not finished:
        raise InputError(
            "no trial has been finished",
            where=str(home),
            mend="run more trials, or give nothing up: --pruner none",
        )
    best = study.best_trial
    kept = {
        "agent": agent,
        "trial": best.number,
        "gain over relevance order": best.value,
        "settings": best.params,
    }
    text = yaml.safe_dump(kept, sort_keys=False)
    with atomic_path(home / "best.yaml") as temporary:
        temporary.write_text(text, encoding="utf-8")
    print(f"{home / 'best.yaml'}:\n{text}", file=sys.stderr)
    cases = [
        case(f"{agent}: best of the trials, gain over relevance order", float(best.value or 0.0), "share"),
        case(f"{agent}: trials", len(study.trials), "trials"),
        case(f"{agent}: of them given up", sum(t.state.name == "PRUNED" for t in study.trials), "trials"),
    ]
    first = study.trials[0]
    if first.value is not None:
        cases.insert(1, case(f"{agent}: the default, gain over relevance order", first.value, "share"))
    return result("tuning", cases, packages=("numpy", "torch", "stable-baselines3", "optuna")) | {
        "best": dict(best.params)
    }


if __name__ == "__main__":
    sys.exit(main(measure, TuningOptions, description=__doc__))
