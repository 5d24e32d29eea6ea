"""What the simulator foretells of held-out pages, in probabilities: log-likelihood and perplexity beside baselines."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from behavior.steps import LoggedSteps
from simulators.fitting.scores import log_likelihood, position_rates
from simulators.resampling import resampled_sums
from simulators.trust.cells import Answers
from simulators.trust.redraw import Redrawn

__all__ = ["Score", "score_predictions"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Score:
    """One held-out score beside that of a baseline fitted to the same training part, on the same resampled sessions."""

    measure: str
    """What is scored."""
    value: float
    """Of the simulator."""
    low: float
    """Lower end of its interval."""
    high: float
    """Upper end."""
    baseline: float
    """Of the baseline: the constant rate at each position, or of purchases per click."""
    gain: float
    """How much better than the baseline; above 0 is better whichever way the score runs."""
    gain_low: float
    """Lower end of its interval."""
    gain_high: float
    """Upper end."""
    n: int
    """Pages, clicks or shown items behind it."""


def score_predictions(
    redrawn: Redrawn,
    train: LoggedSteps,
    held: Answers,
    *,
    n_bootstrap: int,
    confidence: float,
    seed: int,
) -> tuple[Score, ...]:
    """Click log-likelihood per page, purchase log-likelihood per click, and click perplexity by position.

    Impossible events count as probability 1e-9. Perplexity: 2 to the power of the mean negative log2-probability
    (Dupret, Piwowarski, SIGIR 2008), before anything of the page is known.
    """
    steps, shown = held.steps, held.shown
    click = (steps.click > 0) & shown
    rates = np.broadcast_to(position_rates(train.click, train.item >= 0), shown.shape)
    bought = float(((train.purchase > 0) & (train.click > 0)).sum() + 0.5) / float(train.click.sum() + 1.0)

    def on_pages(chance: Floats) -> Floats:
        return np.asarray(np.where(shown, log_likelihood(chance, click), 0.0).sum(axis=1, keepdims=True))

    def on_clicks(chance: Floats) -> Floats:
        value = log_likelihood(chance, steps.purchase)
        return np.asarray(np.where(click, value, 0.0).sum(axis=1, keepdims=True))

    def bits(chance: Floats) -> Floats:
        return np.asarray(np.where(shown, -log_likelihood(chance, click) / np.log(2.0), 0.0))

    constant = np.full(shown.shape, bought)
    ours = [on_pages(redrawn.given_above), on_clicks(redrawn.purchase), bits(redrawn.before)]
    base = [on_pages(rates), on_clicks(constant), bits(rates)]
    count = [np.ones((len(click), 1)), click.sum(axis=1, keepdims=True) * 1.0, shown * 1.0]
    columns = [held.sums(np.concatenate(part, axis=1)) for part in (ours, base, count)]
    names = [
        "click log-likelihood per page",
        "purchase log-likelihood per click",
        *(f"click perplexity, position {k + 1}" for k in range(shown.shape[1])),
    ]
    total = np.concatenate(columns, axis=1)
    j = len(names)
    draws = resampled_sums(total, n_bootstrap, seed)
    tail = (1.0 - confidence) / 2.0
    scores = []
    for i, name in enumerate(names):
        n = total[:, 2 * j + i].sum()
        if n == 0:
            continue
        is_perplexity = name.startswith("click perplexity")

        def value(sums: Floats, at: int, of: int = i, power: bool = is_perplexity) -> Floats:
            ratio = sums[..., at] / np.maximum(sums[..., 2 * j + of], 1e-300)
            return np.asarray(2.0**ratio if power else ratio)

        kept = draws[draws[:, 2 * j + i] > 0]
        mine, theirs = value(kept, i), value(kept, j + i)
        sign = -1.0 if is_perplexity else 1.0
        point, constant_point = (float(value(total.sum(axis=0), at)) for at in (i, j + i))
        low, high = np.quantile(mine, [tail, 1.0 - tail])
        gain_low, gain_high = np.quantile(sign * (mine - theirs), [tail, 1.0 - tail])
        scores.append(
            Score(
                measure=name,
                value=point,
                low=float(low),
                high=float(high),
                baseline=constant_point,
                gain=sign * (point - constant_point),
                gain_low=float(gain_low),
                gain_high=float(gain_high),
                n=int(n),
            )
        )
    return tuple(scores)
