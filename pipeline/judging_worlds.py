"""What policies of different runs see of one log, and the worlds that they are simulated in."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agents.base import Policy
    from encoders.features import FeatureTables
    from envs.observation import Observation
    from envs.world import TaskConfig, World
    from evaluation.intervals import Interval
    from evaluation.outcomes import OnlineResult, PolicyOutcome
    from pipeline.artifacts import OpenedRun
    from pipeline.judging_config import JudgeLogConfig
    from pipeline.log_sources import JudgedLog
    from simulators.base import UserSimulator

__all__ = ["JudgingWorlds"]

_ENSEMBLE_USERS = 500


class JudgingWorlds:
    """Where policies are simulated: each among the candidates, and with the relevance model, of its own run."""

    def __init__(self, config: JudgeLogConfig, log: JudgedLog, runs: Mapping[str, OpenedRun]) -> None:
        self._config, self._log, self._runs = config, log, runs
        self._first = next(iter(runs.values()), None)
        sizes = [run.artifacts.task.slate_size for run in runs.values()]
        self._slate_size = min(sizes) if sizes else log.steps.slate_size
        steps = log.steps
        # Longer logged pages are judged by as many positions as the tasks have, the same for all.
        self.steps = steps if steps.single_impressions else steps.top(self._slate_size)
        self.notes: list[str] = []
        self._of: dict[str, OpenedRun] = {}
        self._tables: FeatureTables | None = None
        self._seen: dict[str, Observation] = {}
        if self.steps.slate_size < steps.slate_size and not steps.single_impressions:
            self.notes.append(
                f"Pages of the log hold up to {steps.slate_size} positions; the first {self.steps.slate_size} are "
                "judged."
            )

    @property
    def purchase_weight(self) -> float:
        """As asked for, else the first run's, else 5."""
        if self._config.purchase_weight is not None:
            return self._config.purchase_weight
        return 5.0 if self._first is None else self._first.artifacts.task.purchase_weight

    def estimate_propensities(self) -> None:
        """Fills the log with propensities that a model of its policy gives, and warns of them."""
        import warnings

        from evaluation.propensity_steps import with_estimated_propensities

        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            self.steps, _ = with_estimated_propensities(self.steps, self.observation(None))
        self.notes.append(
            "PROPENSITIES ARE ESTIMATED, not logged: what their model misses biases every figure."
        )
        self.notes += [str(one.message) for one in said]

    def place(self, policies: Mapping[str, Policy], run: OpenedRun) -> None:
        """These policies belong to a run."""
        self._of.update(dict.fromkeys(policies, run))

    def observation(self, run: OpenedRun | None) -> Observation:
        """The log's pages as a run's policies see them; without a run, as a table or a function does."""
        from envs.replay import observe_log
        from evaluation.plain_observation import plain_observation
        from pipeline.relevance import hidden_scores

        run = run or self._first
        key = "" if run is None else str(run.folder)
        if key in self._seen:
            return self._seen[key]
        if run is None:
            seen = plain_observation(self.steps, n_items=len(self._log.item_ids))
        else:
            held = run.artifacts
            task = dataclasses.replace(held.task, slate_size=self.steps.slate_size)
            own = self.steps.candidates.shape[1] == 0 and self.steps.single_impressions
            seen = observe_log(
                self.steps,
                held.world_fitted.features,
                task,
                candidates=held.world_fitted.candidates if own else None,
            )
            if not run.config.relevance.as_observation:
                seen = dataclasses.replace(seen, scores=hidden_scores(seen.candidates))
        self._seen[key] = seen
        return seen

    def simulate(
        self, policies: Mapping[str, Policy], names: Sequence[str]
    ) -> tuple[dict[str, OnlineResult], dict[str, dict[str, Interval]]]:
        """Scores per session in each simulator; and, in ensembles, intervals for what the log could not tell."""
        from evaluation.simulated_value import simulate_values
        from simulators.ensemble import EnsembleSimulator

        results: dict[str, OnlineResult] = {}
        spread: dict[str, dict[str, Interval]] = {}
        able = self._able(policies) if names else {}
        for name in names:
            label = Path(name).name if "/" in name else name
            simulator = self._simulator(name)
            results[label] = self._serve(able, simulator=simulator)
            if isinstance(simulator, EnsembleSimulator):
                spread[label] = {}
                for who, policy in able.items():
                    world, task = self._world(who)
                    values = simulate_values(
                        {who: policy},
                        dataclasses.replace(world, simulator=simulator),
                        task,
                        n_users=min(self._config.users, _ENSEMBLE_USERS),
                        seed=self._config.seed,
                        first_user=_held_out(),
                        progress=self._config.progress,
                    )
                    spread[label][who] = values[who].interval
        return results, spread

    def truth(self, policies: Mapping[str, Policy]) -> OnlineResult | None:
        """Scores per session in the true store; None where it is not known."""
        shop = self._log.shop if self._first is None else self._first.shop
        if shop is None or shop.truth is None:
            return None
        return self._serve(self._able(policies), simulator=shop.truth.true_simulator)

    def _able(self, policies: Mapping[str, Policy]) -> dict[str, Policy]:
        """Those that can rank pages which the log does not hold."""
        from evaluation.table_policies import MarginalTable, PageScores

        fixed = [name for name, p in policies.items() if isinstance(p, MarginalTable | PageScores)]
        if fixed:
            self.notes.append(
                f"{', '.join(fixed)}: the table knows the log's own pages alone, so nothing can be simulated."
            )
        return {name: policy for name, policy in policies.items() if name not in fixed}

    def _serve(self, policies: Mapping[str, Policy], *, simulator: UserSimulator) -> OnlineResult:
        from evaluation.online import evaluate_policy
        from evaluation.outcomes import OnlineResult

        outcomes: dict[str, PolicyOutcome] = {}
        for name, policy in policies.items():
            world, task = self._world(name)
            outcomes[name] = evaluate_policy(
                policy,
                dataclasses.replace(world, simulator=simulator),
                task,
                n_users=self._config.users,
                seed=self._config.seed,
                first_user=_held_out(),
                name=name,
                progress=self._config.progress,
            )
        return OnlineResult(
            outcomes=outcomes,
            seed=self._config.seed,
            first_user=_held_out(),
            purchase_weight=self.purchase_weight,
        )

    def _world(self, name: str) -> tuple[World, TaskConfig]:
        """World and task of a policy: its run's, else the first run's, else one made of the log."""
        run = self._of.get(name, self._first)
        if run is None:
            return self._own_world()
        task = dataclasses.replace(run.artifacts.task, purchase_weight=self.purchase_weight)
        return run.artifacts.world_fitted, task

    def _own_world(self) -> tuple[World, TaskConfig]:
        from encoders import build_candidates
        from envs.world import TaskConfig, World
        from pipeline.config import TaskOptions

        shop = self._log.shop
        assert shop is not None  # only a run judges a log without a shop
        features = self._features()
        width = shop.train.candidates.shape[1] or TaskOptions().n_candidates
        n = max(min(width, shop.catalog.n_items), self._slate_size)
        candidates = shop.truth.candidates if shop.truth is not None else build_candidates(features, n)
        world = World(
            simulator=None,  # type: ignore[arg-type]  # every caller puts one in
            candidates=candidates,
            features=features,
            titles=tuple(shop.catalog.titles),
            queries=shop.queries,
        )
        task = TaskConfig(
            slate_size=self._slate_size,
            n_candidates=n,
            max_steps=1 if shop.train.single_impressions else TaskOptions().max_steps,
            purchase_weight=self.purchase_weight,
        )
        return world, task

    def _features(self) -> FeatureTables:
        from pipeline.quick_tables import quick_tables

        if self._first is not None:
            return self._first.artifacts.world_fitted.features
        shop = self._log.shop
        assert shop is not None
        if self._tables is None:
            self._tables = quick_tables(shop.catalog, shop.train, shop.valid, progress=self._config.progress)
        return self._tables

    def _simulator(self, name: str) -> UserSimulator:
        """One that the run has fitted already, else one made of the log's training part."""
        from simulators.registry import SimulatorInputs, check_name, make_simulator

        if self._first is not None:
            held = self._first.artifacts
            known = {**held.other_simulators, held.simulator: held.world_fitted.simulator}
            if name in known:
                return known[name]
        check_name(name)
        shop = self._first.shop if self._first is not None else self._log.shop
        assert shop is not None
        return make_simulator(
            name,
            SimulatorInputs(
                features=self._features(),
                train=shop.train,
                valid=shop.valid,
                slate_size=self._slate_size,
                item_ids=tuple(shop.catalog.item_ids),
                seed=self._config.seed,
                progress=self._config.progress,
            ),
        )


def _held_out() -> int:
    from pipeline.artifacts import HELD_OUT

    return HELD_OUT
