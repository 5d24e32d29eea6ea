"""Trust, measured: held-out sessions answered again by simulated users, compared, told apart, judged."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from behavior.errors import InputError
from behavior.steps import LoggedSteps, SessionEnd
from simulators.agreement_summary import AgreementSummary
from simulators.base import UserSimulator
from simulators.trust.cells import Answers, answers_of
from simulators.trust.compare import compare
from simulators.trust.config import TrustConfig
from simulators.trust.features import page_features, session_features
from simulators.trust.pairs import calibration_pairs, page_pairs, visit_pairs, with_events
from simulators.trust.predictions import Score, score_predictions
from simulators.trust.redraw import Redrawn, members_of, redraw_pages, redraw_sessions, why_no_redraw
from simulators.trust.report import LeftOut, TrustReport
from simulators.trust.two_sample import TwoSample, tell_apart
from simulators.trust.verdict import judge_trust

__all__ = ["measure_trust"]

_FEWEST_SESSIONS = 20
_FEW_SESSIONS = 200
_MOST_TREE_PAGES = 20_000


def measure_trust(
    simulator: UserSimulator,
    train: LoggedSteps,
    held_out: LoggedSteps,
    config: TrustConfig | None = None,
    *,
    name: str = "",
    agreement: AgreementSummary | None = None,
    progress: bool = True,
) -> TrustReport:
    """Compare `simulator` with sessions it was not fitted to, and say what it may be used for.

    Args:
        simulator: Whose users.
        train: The training part, for baselines and for the groups of items and queries.
        held_out: Later sessions.
        config: Sizes and thresholds.
        name: The simulator's name, for the report; its own by default.
        agreement: How simulated values of policies agree with known ones; None: not measured.
        progress: Whether to show a bar.

    Raises:
        InputError: Fewer than 20 held-out sessions, none with a click, or a simulator of another log.
    """
    config = config or TrustConfig()
    one_visit = getattr(simulator, "one_visit", None)  # a session of the log is one visit
    simulator = simulator if one_visit is None else one_visit()
    _check(simulator, held_out)
    held, notes = _evenly(held_out, config.max_held_out)
    n_units = held.n_sessions
    if n_units < _FEW_SESSIONS:
        notes.append(
            f"only {n_units} held-out sessions: intervals are rough, and only gross faults can be seen"
        )
    replicates = int(np.clip(-(-config.sessions // n_units), 1, 20))
    left_out: list[LeftOut] = []
    with tqdm(total=6, desc="trust", disable=None if progress else True, leave=False) as bar:

        def tick(what: str) -> None:
            bar.set_postfix_str(what)
            bar.update()

        unknown = _never_says_left(held)
        logged = answers_of(held, _units(held), n_units, unknown_is_leaving=unknown)
        visits = _visits(simulator, held, replicates, config.seed, left_out)
        tick("simulated visits")
        redrawn, pages = _pages(simulator, logged, visits, replicates, config.seed, left_out)
        tick("answered the logged pages again")
        pairs = [
            *page_pairs(pages, logged, train, simulator),
            *calibration_pairs(redrawn, logged),
            *visit_pairs(visits, logged),
        ]
        kept = with_events(pairs, config.min_events, replicates, left_out)
        measures = compare(
            kept,
            n_bootstrap=config.bootstrap,
            confidence=config.confidence,
            seed=config.seed,
            n_train=train.n_sessions,
        )
        tick("compared")
        scores: tuple[Score, ...] = ()
        if redrawn is not None:
            scores = score_predictions(
                redrawn,
                train,
                logged,
                n_bootstrap=config.bootstrap,
                confidence=config.confidence,
                seed=config.seed,
            )
        tick("scored")
        tests = tuple(_tests(simulator, pages, visits, logged, train, config, redrawn, tick))
    verdict = judge_trust(measures, scores, tests, config, n_sessions=n_units, agreement=agreement)
    return TrustReport(
        name=name or str(getattr(simulator, "name", type(simulator).__name__)),
        n_held_out=n_units,
        n_simulated=0 if visits is None else visits.steps.n_sessions,
        replicates=replicates,
        config=config,
        verdict=verdict,
        measures=tuple(measures),
        scores=scores,
        tests=tests,
        left_out=tuple(left_out),
        notes=tuple(notes),
        agreement=agreement,
    )


def _check(simulator: UserSimulator, held: LoggedSteps) -> None:
    where = "validate"
    n = held.n_sessions
    if n < _FEWEST_SESSIONS:
        raise InputError(
            f"{n} held-out sessions, too few to compare with (at least {_FEWEST_SESSIONS})",
            where=where,
            mend="a longer log: the last 15 % of its sessions are held out",
        )
    if not (held.click * (held.item >= 0)).any():
        raise InputError(
            f"the {n:,} held-out sessions hold no click, so there is nothing that users could be told from",
            where=where,
            mend="a longer log, or one whose clicks are marked to its very end",
        )
    top_item, top_query = int(held.item.max()), int(held.query.max())
    if top_item >= simulator.n_items or top_query >= simulator.n_queries:
        raise InputError(
            f"the simulator knows {simulator.n_items} items and {simulator.n_queries} queries, the log shows item row "
            f"{top_item} and query row {top_query}",
            where=where,
            mend="compare with the log that the simulator was fitted to",
        )
    if simulator.slate_size is not None and held.slate_size > simulator.slate_size:
        raise InputError(
            f"the log's pages hold {held.slate_size} positions, the simulator answers at most {simulator.slate_size}",
            where=where,
            mend="compare with the log that the simulator was fitted to",
        )
    if simulator.context_size not in (0, held.context.shape[1]):
        raise InputError(
            f"the simulator knows {simulator.context_size} context columns, the log has {held.context.shape[1]}",
            where=where,
            mend="compare with the log that the simulator was fitted to",
        )
    if not members_of(simulator) and not (held.item >= 0).all(axis=1).any():
        raise InputError(
            "the log holds no full page, and only simulators composed of parts answer pages with gaps",
            where=where,
            mend="compare with a log of whole slates",
        )


def _evenly(held: LoggedSteps, most: int) -> tuple[LoggedSteps, list[str]]:
    """At most `most` sessions, evenly spaced, with a note where that leaves some out."""
    sessions = np.unique(held.session)
    if len(sessions) <= most:
        return held, []
    chosen = sessions[np.linspace(0, len(sessions) - 1, most).astype(np.int64)]
    note = f"{most:,} of {len(sessions):,} held-out sessions were compared with, evenly spaced in time"
    return held.take(np.isin(held.session, chosen)), [note]


def _units(steps: LoggedSteps) -> NDArray[np.int64]:
    return np.unique(steps.session, return_inverse=True)[1].astype(np.int64)


def _never_says_left(held: LoggedSteps) -> bool:
    """As in the fit: where no session is known to have been left, an unexplained end is taken for leaving."""
    return not (held.session_end == SessionEnd.LEFT).any()


def _visits(
    simulator: UserSimulator, held: LoggedSteps, replicates: int, seed: int, left_out: list[LeftOut]
) -> Answers | None:
    if held.single_impressions:
        left_out.append(
            LeftOut(
                what="visits", why="a log of single impressions does not say which pages belong to a visit"
            )
        )
        return None
    steps = redraw_sessions(simulator, held, replicates=replicates, seed=seed)
    n_units = held.n_sessions
    return answers_of(steps, steps.session % n_units, n_units)


def _pages(
    simulator: UserSimulator,
    logged: Answers,
    visits: Answers | None,
    replicates: int,
    seed: int,
    left_out: list[LeftOut],
) -> tuple[Redrawn | None, Answers]:
    """Answers to logged pages; those of whole visits, whose pages are like the logged ones, where that cannot be."""
    why = why_no_redraw(simulator)
    if not why:
        redrawn = redraw_pages(simulator, logged.steps, replicates=replicates, seed=seed)
        drawn = answers_of(redrawn.answers, np.tile(logged.unit, replicates), logged.n_units)
        hidden = np.tile(np.isnan(logged.left), replicates)
        return redrawn, replace(drawn, left=np.where(hidden, np.nan, drawn.left))
    left_out.append(LeftOut(what="likelihood, perplexity and calibration", why=why))
    if visits is None:
        raise InputError(
            "a log of single impressions can only be answered by simulators composed of built-in parts",
            where="validate",
            mend="compare with a log of whole slates",
        )
    left_out.append(
        LeftOut(
            what="the same pages for both",
            why="simulated users were shown other pages of the log for the queries they issue: differences may be due "
            "to the pages",
        )
    )
    return None, visits


def _tests(
    simulator: UserSimulator,
    pages: Answers,
    visits: Answers | None,
    logged: Answers,
    train: LoggedSteps,
    config: TrustConfig,
    redrawn: Redrawn | None,
    tick: Callable[[str], None],
) -> Iterator[TwoSample]:
    """Pages and sessions, one replicate of each, told apart."""
    held = logged.steps
    clicks = np.bincount(train.item[(train.item >= 0) & (train.click > 0)], minlength=simulator.n_items)
    level = np.unique(clicks, return_inverse=True, return_counts=True)
    popularity = ((np.cumsum(level[2]) - level[2] / 2.0) / simulator.n_items)[level[1]]
    common = {"folds": config.folds, "confidence": config.confidence, "seed": config.seed}
    # One replicate: as many simulated pages as logged ones.
    ours = _only(
        pages, np.arange(held.n_steps) if redrawn is not None else pages.steps.session < logged.n_units
    )
    past = _past_clicks(logged)
    fit = np.linspace(0, logged.n_units - 1, min(logged.n_units, _units_within(logged))).astype(np.int64)
    names, our_rows = page_features(ours, past if redrawn is not None else _past_clicks(ours), popularity)
    _, their_rows = page_features(logged, past, popularity)
    mine, theirs = np.isin(ours.unit, fit), np.isin(logged.unit, fit)
    yield tell_apart(
        our_rows[mine],
        their_rows[theirs],
        ours.unit[mine],
        logged.unit[theirs],
        names,
        rows="page",
        **common,  # type: ignore[arg-type]
    )
    tick("told pages apart")
    if visits is not None:
        ours = _only(visits, visits.steps.session < logged.n_units)
        names, our_rows, our_unit = session_features(ours, popularity)
        _, their_rows, their_unit = session_features(logged, popularity)
        yield tell_apart(
            our_rows,
            their_rows,
            our_unit,
            their_unit,
            names,
            rows="session",
            **common,  # type: ignore[arg-type]
        )
    tick("told sessions apart")


def _only(answers: Answers, rows: NDArray[np.integer[Any]] | NDArray[np.bool_]) -> Answers:
    return replace(answers, steps=answers.steps.take(rows), unit=answers.unit[rows], left=answers.left[rows])


def _units_within(logged: Answers) -> int:
    """How many sessions hold about as many pages as the trees are given."""
    return max(_FEWEST_SESSIONS, int(logged.n_units * min(1.0, _MOST_TREE_PAGES / logged.steps.n_steps)))


def _past_clicks(answers: Answers) -> NDArray[np.float64]:
    """(M,) clicks of the session before each page."""
    clicks = (answers.steps.click * answers.shown).sum(axis=1).astype(np.float64)
    before = np.cumsum(clicks) - clicks
    _, first, session = np.unique(answers.steps.session, return_index=True, return_inverse=True)
    return np.asarray(before - before[first][session])
