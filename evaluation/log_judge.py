"""The fluent layer: a log, policies, and all estimators that fit, with intervals and diagnostics.

    found = LogJudge.of(steps, observation).with_policies({"new": policy, "old": other}).judge()
    found.ranking(), found["new"].figures["sniips"].interval, found.difference("new", "old")

`LogJudge.read` begins with a file. `with_estimators` narrows the choice, or takes an estimator of your own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from behavior.errors import InputError
from behavior.steps import LoggedSteps
from evaluation.assumptions import choose_estimator, structure_of
from evaluation.diagnostics import TrustLimits, diagnose, measure_overlap
from evaluation.estimators.registry import EstimatorEntry, entry_of, fitting, why_unfit
from evaluation.evidence import Evidence, gather_evidence
from evaluation.intervals import IntervalConfig, make_interval, mean_interval
from evaluation.log_checks import check_propensities
from evaluation.log_judgement import Figure, JudgedPolicy, LogJudgement
from evaluation.support import rows_with_propensities

if TYPE_CHECKING:
    from agents.base import Policy
    from behavior.catalog import Catalog
    from behavior.log import InteractionLog
    from encoders.features import FeatureTables
    from envs.observation import Observation
    from envs.world import TaskConfig
    from evaluation.estimators.result import Estimate

__all__ = ["LogJudge"]


@dataclass(frozen=True, kw_only=True)
class LogJudge:
    """Policies to be judged by one log; every method gives a new one, so a half-made judge can be kept and reused."""

    steps: LoggedSteps
    """`M` logged pages, held out from everything that the policies were fitted to."""
    observation: Observation
    """What a policy would have seen at each of them."""
    policies: Mapping[str, Policy] = field(default_factory=dict)
    """By the names they are to have."""
    observations: Mapping[str, Observation] = field(default_factory=dict)
    """Of policies that see the same pages in another way (another run's relevance model)."""
    sources: Mapping[str, str] = field(default_factory=dict)
    """Where policies came from, in words."""
    shops: Mapping[str, tuple[FeatureTables, TaskConfig]] = field(default_factory=dict)
    """Tables and task by policy, for estimators that fit values to what is observed."""
    estimators: tuple[EstimatorEntry, ...] = ()
    """Those asked for; all that fit where there are none."""
    purchase_weight: float = 5.0
    """The reward is clicks + this x purchases."""
    limits: TrustLimits = field(default_factory=TrustLimits)
    """When a figure is not believed."""
    interval: IntervalConfig = field(default_factory=IntervalConfig)
    """How intervals are made; differences and lifts are always Student's."""
    few_events: int = 30
    """Fewer logged clicks that carry weight than this: the figure stands, with a warning."""
    numbered_by_log: bool = False
    """Whether items and queries are numbered as they come in the log, and not as a shop's tables have them."""

    @classmethod
    def of(cls, steps: LoggedSteps, observation: Observation, *, purchase_weight: float = 5.0) -> LogJudge:
        """Begins with logged pages and what a policy would have seen (`envs.replay.observe_log`)."""
        return cls(steps=steps, observation=observation, purchase_weight=purchase_weight)

    @classmethod
    def read(
        cls,
        log: str | Path | InteractionLog,
        *,
        catalog: Path | str | Catalog | None = None,
        queries: Sequence[str] | None = None,
        slate_size: int | None = None,
        purchase_weight: float = 5.0,
    ) -> LogJudge:
        """Begins with a log of your own, for policies that need no tables of a run: tables of scores, functions.

        A log holds no relevance. A policy that ranks by it gets no figure, unless `with_policies` is given the shop's
        tables, whose relevance it then sees; they need `catalog` and `queries` in the tables' order.

        Args:
            log: A file that `behavior.load` reads, or a log.
            catalog: Gives items their rows; None: the items of the log.
            queries: Texts of queries in row order; None: those of the log, by first appearance.
            slate_size: Judge by the first positions of each page alone; None: by all.
            purchase_weight: The reward is clicks + this x purchases.

        Raises:
            InputError: A log that cannot be read, or that says neither its candidates nor its propensities.
        """
        from evaluation.plain_observation import read_plain

        steps, observation = read_plain(log, catalog=catalog, queries=queries, slate_size=slate_size)
        return cls(
            steps=steps,
            observation=observation,
            purchase_weight=purchase_weight,
            numbered_by_log=catalog is None or queries is None,
        )

    def with_policies(
        self,
        policies: Mapping[str, Policy],
        *,
        observation: Observation | None = None,
        source: str = "",
        shop: tuple[FeatureTables, TaskConfig] | None = None,
    ) -> LogJudge:
        """With these policies too.

        Args:
            policies: By name.
            observation: What these see of the same pages, where it is another thing.
            source: Where they come from, in words.
            shop: Tables and task of these policies: their relevance is what they see where the judge's own pages hold
                none, and their values may be fitted with them (`fqe`).

        Raises:
            InputError: A name that is taken, a policy that looks at hidden state, or a shop's tables for a log that
                was read without the shop's numbers of items and queries.
        """
        taken = [name for name in policies if name in self.policies]
        inside = [name for name, policy in policies.items() if policy.privileged]
        if taken or inside:
            raise InputError(
                f"two policies are called {taken[0]!r}" if taken else f"{inside[0]!r} looks at hidden state",
                where="off-policy judgement",
                mend="give each a name of its own" if taken else "a log holds no hidden state: leave it out",
            )
        if shop is not None and observation is None:
            observation = self._seen_with(*shop)
        seen = {} if observation is None else dict.fromkeys(policies, observation)
        return dataclasses.replace(
            self,
            policies={**self.policies, **policies},
            observations={**self.observations, **seen},
            sources={**self.sources, **dict.fromkeys(policies, source)},
            shops={**self.shops, **({} if shop is None else dict.fromkeys(policies, shop))},
        )

    def with_estimators(self, *estimators: str | EstimatorEntry) -> LogJudge:
        """With these estimators alone: names, `module:function`, or entries of your own."""
        found = tuple(entry_of(one) if isinstance(one, str) else one for one in estimators)
        return dataclasses.replace(self, estimators=(*self.estimators, *found))

    def judge(self, *, progress: bool = True) -> LogJudgement:
        """Judges all policies by all estimators that fit.

        Raises:
            InputError: No policy, a log without propensities, or an estimator asked for that does not fit.
        """
        if not self.policies:
            raise InputError("no policy to judge", where="off-policy judgement", mend="name one or more")
        self._check_log()
        known = np.flatnonzero(rows_with_propensities(self.steps))
        steps = self.steps.take(known)
        judged: dict[str, JudgedPolicy] = {}
        evidence: Evidence | None = None
        for name, policy in self.policies.items():
            found = gather_evidence(
                policy,
                self.steps,
                self.observations.get(name, self.observation),
                purchase_weight=self.purchase_weight,
                name=name,
                shop=self.shops.get(name),
                progress=progress,
            )
            source = self.sources.get(name, "") or type(policy).__name__
            if isinstance(found, str):
                judged[name] = JudgedPolicy(name=name, source=source, reason=found)
                continue
            evidence = found
            judged[name] = self._judged(name, source, found)
        entries = self.estimators or (fitting(evidence) if evidence is not None else ())
        chosen, why, notes = choose_estimator(judged, entries, level=self.interval.level)
        total = self._total(steps)
        return LogJudgement(
            policies=judged,
            chosen=chosen,
            why_chosen=why,
            logged=mean_interval(total, clusters=steps.user, level=self.interval.level),
            per="impression" if steps.single_impressions else "page",
            n_pages=steps.n_steps,
            n_users=int(np.unique(steps.user).size),
            purchase_weight=self.purchase_weight,
            level=self.interval.level,
            notes=(*self._log_notes(len(known)), *notes),
        )

    def _seen_with(self, features: FeatureTables, task: TaskConfig) -> Observation | None:
        """The pages with the relevance of these tables; None where the judge's own pages have a relevance already."""
        from envs.replay import observe_log

        rows = int(max(self.observation.candidates.max(initial=-1), self.steps.item.max(initial=-1))) + 1
        if self.numbered_by_log or features.n_queries != len(self.steps.queries) or rows > features.n_items:
            raise InputError(
                "the tables' rows are not the log's: it was read without the shop's catalogue and queries"
                if self.numbered_by_log
                else f"the tables know {features.n_queries} queries and {features.n_items} items, the log "
                f"{len(self.steps.queries)} and at least {rows}",
                where="shop of LogJudge.with_policies",
                mend="LogJudge.read(log, catalog=..., queries=...), both in the order of the tables; or LogJudge.of",
            )
        if self.observation.scores.any() or self.steps.candidates.shape[1] == 0:
            return None
        return observe_log(self.steps, features, dataclasses.replace(task, slate_size=self.steps.slate_size))

    def _check_log(self) -> None:
        if not np.isfinite(self.purchase_weight) or self.purchase_weight < 0:
            raise InputError(
                f"a purchase weighs {self.purchase_weight:g}",
                where="purchase_weight",
                mend="give 0 or more: estimators and their diagnostics want rewards that are not negative",
            )
        check_propensities(self.steps)
        known = rows_with_propensities(self.steps)
        if known.sum() >= 2:
            return
        raise InputError(
            f"{int(known.sum())} of {self.steps.n_steps} logged pages state a propensity for every item shown",
            where="off-policy judgement",
            mend="log the probability of each shown item at its position (column `propensity`), or have it estimated: "
            "--estimate-propensities, evaluation.propensity_steps",
        )

    def _log_notes(self, n_known: int) -> tuple[str, ...]:
        lines = []
        left_out = self.steps.n_steps - n_known
        if left_out:
            lines.append(
                f"{left_out} of {self.steps.n_steps} logged pages state no propensity and are left out; the figures "
                "speak for the others only."
            )
        b = self.steps.propensity[self.steps.item >= 0]
        if b.size and bool((b[~np.isnan(b)] >= 1 - 1e-12).all()):
            lines.append(
                "The log was made without chance (all propensities are 1): it can say nothing of any policy that would "
                "show something else."
            )
        return tuple(lines)

    def _total(self, steps: LoggedSteps) -> NDArray[np.float64]:
        """(M,) reward of each page."""
        reward = steps.click.astype(np.float64) + self.purchase_weight * steps.purchase
        return np.asarray(np.where(steps.item >= 0, reward, 0.0).sum(axis=1), np.float64)

    def _judged(self, name: str, source: str, evidence: Evidence) -> JudgedPolicy:
        if self.estimators:
            unfit = [(entry, why_unfit(entry, evidence)) for entry in self.estimators]
            entries = tuple(entry for entry, why in unfit if not why)
            refused = [f"{entry.name} does not fit: {why}." for entry, why in unfit if why]
            if not entries:
                raise InputError(refused[0], where=f"estimators for {name}", mend="choose others, or none")
        else:
            entries, refused = fitting(evidence), []
        estimates, figures = {}, {}
        for entry in entries:
            try:
                estimates[entry.name] = entry.call(evidence)
            except InputError as error:
                # Sessions may lack pages, which single pages do not mind; what is wrong with those is the log's fault.
                if entry.per == "page" or self.estimators:
                    raise
                refused.append(f"{entry.name} was left out: {error.what}.")
                continue
            figures[entry.name] = self._figure(entry, estimates[entry.name], evidence)
        shown = evidence.item[1] > 0
        events = int(evidence.slates.click[shown].sum())
        warnings = [*refused, *evidence.notes()]
        if events < self.few_events:
            warnings.append(f"Only {events} logged clicks carry weight: these figures prove very little.")
        overlapping = next((estimates[n] for n in ("sniips", "snips", *estimates) if n in estimates), None)
        return JudgedPolicy(
            name=name,
            source=source,
            figures=figures,
            overlap=None if overlapping is None else measure_overlap(overlapping),
            disagreement=structure_of(estimates, figures, evidence.users, level=self.interval.level),
            warnings=tuple(warnings),
        )

    def _figure(self, entry: EstimatorEntry, estimate: Estimate, evidence: Evidence) -> Figure:
        users, total, level = evidence.users, evidence.total, self.interval.level
        if entry.per == "session":  # its rows are the sessions, sorted by label
            _, first, row = np.unique(evidence.steps.session, return_index=True, return_inverse=True)
            users, total = users[first], np.bincount(row, weights=total).astype(np.float64)
        return Figure(
            estimator=entry.name,
            per="impression" if evidence.single else entry.per,
            interval=make_interval(estimate, clusters=users, config=self.interval),
            lift=mean_interval(estimate.terms - total, clusters=users, level=level),
            diagnostics=diagnose(
                estimate,
                clusters=users,
                limits=self.limits,
                has_mean_one=entry.weights_mean_one,
                reward=total if bool((total >= 0).all()) else None,
            ),
            terms=estimate.terms,
            users=users,
        )
