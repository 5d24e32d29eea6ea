"""From a log to a simulator: each part by maximum likelihood, each with its held-out score."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from behavior.errors import InputError
from behavior.steps import LoggedSteps, SessionEnd
from encoders.features import FeatureTables
from simulators.fitted import FittedSimulator
from simulators.fitting.caution import cautions
from simulators.fitting.checks import check_fit_input
from simulators.fitting.config import FitConfig
from simulators.fitting.dwell import fit_dwell
from simulators.fitting.effects import QueryEffects
from simulators.fitting.examination import examination_of
from simulators.fitting.likelihood import Parameters, Problem, logits_of
from simulators.fitting.priors import page_penalty, row_penalty
from simulators.fitting.problems import cut, select
from simulators.fitting.queries import fit_queries, transitions_of
from simulators.fitting.replay import Replay, latest_sessions, replay, with_promise
from simulators.fitting.report import FitReport, PartScore, coin_score
from simulators.fitting.resample import Resample, coupled_rows
from simulators.fitting.returns import fit_returns
from simulators.fitting.scores import log_likelihood, mean, mean_known, perplexity, position_rates
from simulators.fitting.tastes import tightened
from simulators.fitting.tuning import fit_tuned
from simulators.parts.attractiveness import LinearAttractiveness, LinearConversion
from simulators.parts.contract import Dynamics, Examination
from simulators.parts.dynamics import FittedDynamics, OnePage
from simulators.parts.population import EmpiricalPopulation
from simulators.position_bias.for_fit import held_log_gamma, position_notes

__all__ = ["PartFitter", "fit_simulator", "put_together"]

_FEW_CLICKS = 200
_TASTES = "queries' vectors"  # tightness of their prior, among the strengths


def fit_simulator(
    name: str,
    train: LoggedSteps,
    valid: LoggedSteps,
    features: FeatureTables,
    config: FitConfig | None = None,
    *,
    progress: bool = True,
) -> FittedSimulator:
    """Fit the parts to `train` and score them on `valid`.

    Args:
        name: The click model: one of `simulators.fitting.checks.FAMILIES`.
        train: Sessions to learn from.
        valid: Later sessions to be judged on; they choose nothing.
        features: Public tables of the items and queries of the log.
        config: Strength of the prior, sizes; the defaults suit most logs.
        progress: Whether to show a bar.

    Raises:
        InputError: The log cannot carry such a fit; the message says why.
    """
    config = config or FitConfig()
    check_fit_input(name, train, valid, features, stops_at_click=config.stops_at_click)
    began = time.perf_counter()
    notes: list[str] = []
    used = latest_sessions(train, config.max_impressions)
    if used.n_steps < train.n_steps:
        notes.append(f"fitted to the latest {used.n_sessions:,} of {train.n_sessions:,} training sessions")
    n_fits = 5 * (len(config.strengths) + 1)
    with tqdm(total=n_fits + 3, desc=f"fit {name}", disable=None if progress else True, leave=False) as bar:

        def tick(what: str) -> None:
            bar.set_postfix_str(what)
            bar.update()

        seen = replay(features, used, ring=config.ring)
        held = replay(features, valid, ring=config.ring)
        tick("replayed the log")
        fitter = PartFitter(used, features, seen, held, config, tick)
        return put_together(name, fitter, valid, notes, began)


def put_together(
    name: str, fitter: PartFitter, valid: LoggedSteps, notes: list[str], began: float
) -> FittedSimulator:
    """All parts as `fitter` fits them, with the click model `name`; `began` is when, by `time.perf_counter`."""
    used, features, seen, config = fitter.train, fitter.features, fitter.seen, fitter.config
    examination, attractiveness, clicks = fitter.clicks(name, valid)
    conversion, purchases = fitter.purchases()
    fitter.promise(valid)
    dynamics: Dynamics
    later: tuple[PartScore, ...] = ()
    if used.single_impressions:
        dynamics = OnePage()
        notes.append("single impressions: every simulated session is one page long")
    else:
        dynamics, later = fitter.dynamics(valid, notes)
    if fitter.resample is None:
        notes += position_notes(name, used, features, seen, config)
    dwell, of_dwell = fit_dwell(fitter, valid, notes)
    returns, of_returns = fit_returns(fitter, valid, notes)
    if config.several_visits and returns is None:
        raise InputError(
            "several visits are asked for, but this log does not tell who comes back",
            where="FitConfig.several_visits",
            mend="leave it out, or bring a longer log whose users can be told apart (user_id) and come again",
        )
    notes += cautions(
        used, ring=config.ring, parameters=fitter.parameters, max_iterations=config.max_iterations
    )
    fitter.tick("scored")
    n_clicks = int(seen.click.sum())
    if n_clicks < _FEW_CLICKS:
        notes.append(
            f"only {n_clicks} clicks in {len(seen.click):,} shown items: the simulator is little more than the "
            "overall click rate, and proves little about any policy"
        )
    if not seen.purchase.any():
        notes.append("the log holds no purchase: simulated users hardly ever buy, whatever they are shown")
    first = np.flatnonzero(np.r_[True, used.session[1:] != used.session[:-1]])
    if fitter.resample is not None:
        first = first[coupled_rows(fitter.resample.weight)]
    first = first[used.query[first] >= 0] if (used.query[first] >= 0).any() else first
    report = FitReport(
        name=name,
        n_sessions=used.n_sessions,
        n_steps=used.n_steps,
        n_clicks=n_clicks,
        n_purchases=int(seen.purchase.sum()),
        seconds=time.perf_counter() - began,
        strengths=fitter.strengths,
        scores=(*clicks, purchases, *later, *of_dwell, *of_returns),
        perplexity=fitter.perplexity,
        baseline_perplexity=fitter.baseline_perplexity,
        notes=tuple(notes),
    )
    return FittedSimulator(
        name=name,
        report=report,
        context_names=used.context_names,
        features=features,
        population=EmpiricalPopulation(
            first_query=np.maximum(used.query[first], 0), context=used.context[first]
        ),
        attractiveness=attractiveness,
        examination=examination,
        conversion=conversion,
        dynamics=dynamics,
        slate_size=used.slate_size,
        ring=config.ring,
        dwell=dwell,
        returns=returns,
        several_visits=config.several_visits,
    )


class PartFitter:
    """Fits and scores one part after the other.

    Args:
        train: Sessions to learn from.
        features: Public tables.
        seen: `train`, replayed.
        held: The held-out sessions, replayed.
        config: How to fit.
        tick: Told of each step done.
        resample: What makes a member of an ensemble of the fit; None: the log as it is.
    """

    def __init__(
        self,
        train: LoggedSteps,
        features: FeatureTables,
        seen: Replay,
        held: Replay,
        config: FitConfig,
        tick: Callable[[str], None],
        resample: Resample | None = None,
    ) -> None:
        self.train, self.features, self.seen, self.held, self.config = train, features, seen, held, config
        self.tick, self.resample = tick, resample
        self.strengths: dict[str, float] = {}
        self.parameters: dict[str, Parameters] = {}  # by part, as fitted
        self.late: dict[str, NDArray[np.float64]] = {}  # by part: see `fit_tuned`
        self.perplexity: tuple[float, ...] = ()
        self.baseline_perplexity: tuple[float, ...] = ()
        self.penalty = row_penalty(features, train.context_names)
        sessions = np.unique(train.session)
        cut = sessions[int(len(sessions) * (1.0 - config.tuning_share))]
        self.cut_page = int(np.searchsorted(train.session, cut))

    def tuned(
        self, part: str, problem: Problem, session: NDArray[np.int64], early: NDArray[np.bool_]
    ) -> Parameters:
        """Fit `problem`; its rows belong to `session` (n,), those of the earlier part are marked `early`."""
        if self.resample is not None:
            self.strengths[part] = self.resample.strengths[part]
            return self.resample.fit(part, problem, session)
        n_early = int(early.sum())
        n_pages = int(problem.page[n_early]) if n_early < len(problem.page) else problem.shape[0]
        p, strength, late = fit_tuned(
            cut(problem, slice(0, n_early), 0, n_pages),
            cut(problem, slice(n_early, None), n_pages, problem.shape[0]),
            session[n_early:],
            problem,
            self.config,
            self.tick,
        )
        self.strengths[part], self.parameters[part], self.late[part] = strength, p, late
        return p

    def clicks(
        self, name: str, valid: LoggedSteps
    ) -> tuple[Examination, LinearAttractiveness, tuple[PartScore, ...]]:
        """The click model and the appeal, together."""
        self._effects = QueryEffects(self.features, self.train.query[self.seen.page], self.seen.item)
        if self.resample is not None:
            self._effects.tightness = self.strengths[_TASTES] = self.resample.strengths.get(_TASTES, 1.0)
        problem = self._with_effects(self._problem(self.seen, self.seen.click, family=name), self.train)
        weight = None if self.resample is None else self.resample.weight
        settled = held_log_gamma(name, self.config, self.train, self.seen, weight)
        problem = replace(problem, log_gamma=settled)
        early = self.seen.page < self.cut_page
        session = self.seen.session[self.seen.page]
        p = self.tuned("clicks", problem, session, early)
        if self.resample is None:
            strength, most = self.strengths["clicks"], self.config.max_iterations
            p, found = tightened(problem, p, strength=strength, max_iterations=most, tick=self.tick)
            self._effects.tightness = self.strengths[_TASTES] = found
            self.parameters["clicks"] = p
        self._of_clicks = p
        typical = float((1.0 / (1.0 + np.exp(-logits_of(problem, p)))).mean())
        examination = examination_of(
            name, p, typical_click=typical, stops_at_click=self.config.stops_at_click
        )
        held = self._with_effects(self._problem(self.held, self.held.click, family=name), valid)
        logits = np.full(self.held.shape, -np.inf)
        logits[self.held.page, self.held.position] = logits_of(held, p)
        shown = valid.item >= 0
        rates = position_rates(self.train.click, self.train.item >= 0)
        base = np.broadcast_to(rates, shown.shape)
        given = examination.click_probability_given_above(logits, valid.click)
        before = examination.click_probability(logits)
        ours = np.where(shown, log_likelihood(given, valid.click), 0.0).sum(axis=1)
        theirs = np.where(shown, log_likelihood(base, valid.click), 0.0).sum(axis=1)
        self.perplexity = tuple(perplexity(before, valid.click, shown).tolist())
        self.baseline_perplexity = tuple(perplexity(base, valid.click, shown).tolist())
        common = {"part": "clicks", "baseline_name": "constant rate by position", "n": len(ours)}
        scores = (
            PartScore(
                metric="log-likelihood per page",
                value=mean(ours),
                baseline=mean(theirs),
                higher_is_better=True,
                **common,  # type: ignore[arg-type]
            ),
            PartScore(
                metric="perplexity, mean over positions",
                value=mean_known(self.perplexity),
                baseline=mean_known(self.baseline_perplexity),
                **common,  # type: ignore[arg-type]
            ),
        )
        silent = None if self.resample is None else partial(self.resample.silent, "clicks")
        return examination, LinearAttractiveness(**_biases(p), **self._effects.biases(p, silent)), scores

    def purchases(self) -> tuple[LinearConversion, PartScore]:
        """Purchases of clicked items."""
        mine, theirs = self.seen.click > 0, self.held.click > 0
        problem = select(self._problem(self.seen, self.seen.purchase), mine)
        page = self.seen.page[mine]
        p = self.tuned("purchases", problem, self.seen.session[page], page < self.cut_page)
        self._of_purchases = p
        held = select(self._problem(self.held, self.held.purchase), theirs)
        rate = (problem.outcome.sum() + 0.5) / (len(problem.outcome) + 1.0)
        return LinearConversion(**_biases(p)), coin_score(
            "purchases",
            "log-loss per click",
            held.outcome,
            logits_of(held, p),
            rate,
            "constant rate of purchase per click",
        )

    def take_clicks(self, other: PartFitter) -> None:
        """Go on with the click model that `other` has fitted to the same log."""
        self._effects, self._of_clicks = other._effects, other._of_clicks

    def promise(self, valid: LoggedSteps) -> None:
        """Enter into the page rows how appealing the pages were, by the click model and conversion just fitted."""
        replays = []
        for r, steps in ((self.seen, self.train), (self.held, valid)):
            tables = []
            for p, more in ((self._of_clicks, True), (self._of_purchases, False)):
                problem = self._problem(r, r.click)
                table = np.zeros(r.shape)
                table[r.page, r.position] = logits_of(
                    self._with_effects(problem, steps) if more else problem, p
                )
                tables.append(table)
            chance = 1.0 / (1.0 + np.exp(-tables[1]))
            replays.append(with_promise(r, self.features, steps, tables[0], chance))
        self.seen, self.held = replays

    def dynamics(self, valid: LoggedSteps, notes: list[str]) -> tuple[FittedDynamics, tuple[PartScore, ...]]:
        """Leaving and the next query."""
        censored = (SessionEnd.LIMIT,)
        if (self.train.session_end == SessionEnd.LEFT).any():
            censored = (SessionEnd.LIMIT, SessionEnd.UNKNOWN)  # type: ignore[assignment]
        elif (self.train.session_end == SessionEnd.UNKNOWN).any():
            notes.append("the log does not say why sessions end: the last page of each is taken for leaving")
        page = np.arange(self.seen.shape[0])
        known = ~np.isin(self.train.session_end, censored) & ~_at_the_limit(self.train)
        problem = self._leaving(self.seen.page_rows[known], self.train.session_end[known], page[known])
        p = self.tuned("leaving", problem, self.train.session[known], page[known] < self.cut_page)
        held_known = ~np.isin(valid.session_end, censored) & ~_at_the_limit(valid)
        held = self._leaving(self.held.page_rows[held_known], valid.session_end[held_known], page[:0])
        rate = (problem.outcome.sum() + 0.5) / (len(problem.outcome) + 1.0)
        leaving = coin_score(
            "leaving", "log-loss per page", held.outcome, logits_of(held, p), rate, "constant rate of leaving"
        )
        weight = None if self.resample is None else self.resample.of(self.train.session)
        q = fit_queries(self.train, self.features.n_queries, weight)
        dynamics = FittedDynamics(
            leave_weights=p.weights.astype(np.float32),
            stay=q.stay,
            row_start=q.row_start,
            row_query=q.row_query,
            row_cumulative=q.row_cumulative,
            row_trust=q.row_trust,
            frequency=q.frequency,
        )
        if self.train.n_steps == self.train.n_sessions:
            notes.append("every session of the log is one page long: nothing is known of second pages")
        t = transitions_of(valid)
        issued = np.bincount(self.train.query[self.train.query >= 0], minlength=self.features.n_queries) + 0.5
        chance = dynamics.transition_probability(t.query, t.following, t.outcome)
        score = PartScore(
            part="next query",
            metric="log-loss per transition",
            value=-mean(np.log(np.maximum(chance, 1e-12))),
            baseline=-mean(np.log(issued / issued.sum())[t.following]),
            baseline_name="frequency of the query",
            n=len(chance),
        )
        return dynamics, (leaving, score)

    def _with_effects(self, problem: Problem, steps: LoggedSteps) -> Problem:
        assert problem.item is not None
        return replace(problem, more=self._effects.of(steps.query[problem.page], problem.item))

    def _problem(self, r: Replay, outcome: NDArray[np.uint8], family: str = "plain") -> Problem:
        return Problem(
            rows=r.rows,
            outcome=outcome,
            penalty=self.penalty,
            category=r.category,
            item=r.item,
            n_categories=self.features.n_categories,
            n_items=self.features.n_items,
            page=r.page,
            position=r.position,
            shape=r.shape,
            family=family,
            stops_at_click=self.config.stops_at_click,
        )

    def _leaving(self, rows: NDArray[np.float32], end: NDArray[np.int8], page: NDArray[np.int64]) -> Problem:
        penalty = page_penalty(self.features, self.train.context_names)
        outcome = (end != SessionEnd.NO).astype(np.uint8)
        return Problem(rows=rows, outcome=outcome, penalty=penalty, page=page, position=np.zeros_like(page))


def _at_the_limit(steps: LoggedSteps) -> NDArray[np.bool_]:
    """(M,) pages at the number at which the log cuts sessions off, where there is one such number.

    There only leaving is seen, never going on: to keep those who left would say that everybody leaves.
    """
    cut_off = np.unique(steps.step[steps.session_end == SessionEnd.LIMIT])
    return steps.step == cut_off[0] if len(cut_off) == 1 else np.zeros(steps.n_steps, np.bool_)


def _biases(p: Parameters) -> dict[str, NDArray[np.float32]]:
    return {
        "weights": p.weights.astype(np.float32),
        "category_bias": p.category_bias.astype(np.float32),
        "item_bias": p.item_bias.astype(np.float32),
    }
