"""What the fits of an ensemble say together: held-out scores of the mixture of its members."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from behavior.steps import LoggedSteps
from simulators.fidelity import replay_logits
from simulators.fitted import FittedSimulator
from simulators.fitting.report import FitReport
from simulators.fitting.scores import log_likelihood, mean, perplexity
from simulators.trust.redraw import mixture_given_above

__all__ = ["ensemble_report"]


def ensemble_report(
    members: Sequence[FittedSimulator], valid: LoggedSteps, notes: Sequence[str], seconds: float
) -> FitReport:
    """The report of an ensemble.

    Clicks are scored as a page from any member foretells them: the mean of the members' chances, where each member
    counts by what it foretold of the clicks above on the page. A member alone is a draw, worse than the fit to the log
    as it is; their mixture need not be. The other parts have the means of the members' own scores.

    Args:
        members: As fitted.
        valid: Held-out sessions.
        notes: What the user should know.
        seconds: Time the fits took.
    """
    reports = [member.report for member in members]
    first = reports[0]
    given, before = [], []
    for member in members:
        alone = member.one_visit()
        logits = replay_logits(alone, valid)
        given.append(alone.examination.click_probability_given_above(logits, valid.click))
        before.append(alone.examination.click_probability(logits))
    shown = valid.item >= 0
    likelihood = log_likelihood(mixture_given_above(np.stack(given), valid.click), valid.click)
    of_position = perplexity(np.mean(before, axis=0), valid.click, shown)
    mixed = {
        "log-likelihood per page": mean(np.where(shown, likelihood, 0.0).sum(axis=1)),
        "perplexity, mean over positions": mean(of_position[~np.isnan(of_position)]),
    }
    scores = [
        replace(
            score,
            value=mixed[score.metric]
            if score.part == "clicks"
            else float(np.mean([report.scores[s].value for report in reports])),
        )
        for s, score in enumerate(first.scores)
    ]
    return replace(
        first,
        name="ensemble",
        seconds=seconds,
        scores=tuple(scores),
        perplexity=tuple(of_position.tolist()),
        notes=tuple(notes),
    )
