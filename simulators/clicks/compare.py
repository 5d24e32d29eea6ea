"""All click models on one log, side by side: which of them the log speaks for, and which it speaks against."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from behavior.errors import InputError
from simulators.clicks.config import ClickFitConfig
from simulators.clicks.pages import ClickPages
from simulators.clicks.registry import CLICK_MODELS, law_named

if TYPE_CHECKING:
    from rich.table import Table

    from simulators.clicks.fitted import FittedClickModel
    from simulators.clicks.scores import ClickScores, Figure

__all__ = ["BASELINE", "Compared", "Comparison", "compare_click_models"]

BASELINE = "rates"
"""The constant rate at each position: what a model of clicks has to beat."""


@dataclass(frozen=True, kw_only=True)
class Compared:
    """One model of the comparison."""

    name: str
    """The model, or `BASELINE`."""
    refused: str = ""
    """Why it could not be fitted; empty where it was."""
    model: FittedClickModel | None = None
    """As fitted; None for the baseline and for the refused."""
    scores: ClickScores | None = None
    """On the held-out pages."""
    behind: Figure | None = None
    """Log-likelihood per page lost to the best model, on the same resampled sessions; 0 for the best itself."""

    @property
    def clearly_behind(self) -> bool:
        """Whether the interval of what it loses lies above zero: this log speaks against the model."""
        return self.behind is not None and self.behind.low > 0


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """All models, best first; refused ones last."""

    rows: tuple[Compared, ...]
    n_train_pages: int
    n_held_pages: int
    appeal: str
    confidence: float

    def __getitem__(self, name: str) -> Compared:
        return next(row for row in self.rows if row.name == name)

    @property
    def best(self) -> Compared:
        """The model of the highest held-out log-likelihood."""
        return self.rows[0]

    @property
    def undecided(self) -> tuple[str, ...]:
        """Models that this log cannot tell from the best."""
        return tuple(row.name for row in self.rows[1:] if row.scores is not None and not row.clearly_behind)

    def verdict(self) -> str:
        """One sentence."""
        level = f"at {self.confidence:.0%}"
        against = [row.name for row in self.rows if row.clearly_behind and row.name != BASELINE]
        text = f"best: {self.best.name}"
        if self.undecided:
            text += f"; not told from it {level}: {', '.join(self.undecided)}"
        if against:
            text += f"; the log speaks against, {level}: {', '.join(against)}"
        refused = [row.name for row in self.rows if row.refused]
        if refused:
            text += f"; cannot be: {', '.join(refused)}"
        return text

    def share_won(self, row: Compared) -> float:
        """What a model gains in log-likelihood over the rates by position, as a share of what the best one gains."""
        floor, top = self[BASELINE].scores, self.best.scores
        if row.scores is None or floor is None or top is None or self.best.name == BASELINE:
            return math.nan
        least = floor.log_likelihood.value
        return (row.scores.log_likelihood.value - least) / (top.log_likelihood.value - least)

    def table(self) -> Table:
        """For the terminal, up to 100 columns wide; `to_json` holds an interval for every figure."""
        from rich.box import SIMPLE_HEAD
        from rich.table import Table

        table = Table(
            title=f"click models, attractiveness from {self.appeal}: fitted to {self.n_train_pages:,} pages, judged on "
            f"{self.n_held_pages:,} held-out ones, {self.confidence:.0%} intervals",
            title_justify="left",
            box=SIMPLE_HEAD,
            padding=(0, 1, 0, 0),
            show_edge=False,
        )
        for column in (
            "model",
            "log-likelihood\nper page",
            "gain over\nrates",
            "behind the best",
            "perplexity",
            "conditional\nperplexity",
            "",
        ):
            words = column in ("model", "")
            table.add_column(column, justify="left" if words else "right", no_wrap=True)
        for row in self.rows:
            if row.scores is None or row.behind is None:
                table.add_row(row.name, "–", "–", "–", "–", "–", "refused")
                continue
            remarks = ["worse" if row.clearly_behind else ""]
            if row.scores.impossible:
                remarks.append(f"{row.scores.impossible:,} held-out pages impossible")
            if row.model is not None and not row.model.converged:
                remarks.append("NOT CONVERGED")
            won = self.share_won(row)
            table.add_row(
                row.name,
                f"{row.scores.log_likelihood.value:.4f}",
                "" if math.isnan(won) else f"{won:.0%}",
                "" if row is self.best else str(row.behind),
                f"{row.scores.perplexity.value:.4f}",
                f"{row.scores.conditional_perplexity.value:.4f}",
                ", ".join(remark for remark in remarks if remark),
            )
        return table

    def to_json(self) -> dict[str, Any]:
        """Plain data; nan becomes None."""

        def plain(figure: Figure) -> dict[str, float | None]:
            values = {"value": figure.value, "low": figure.low, "high": figure.high}
            return {key: None if math.isnan(value) else value for key, value in values.items()}

        rows = []
        for row in self.rows:
            found: dict[str, Any] = {"model": row.name}
            if row.scores is None or row.behind is None:
                rows.append(found | {"refused": row.refused})
                continue
            found |= {
                "log_likelihood": plain(row.scores.log_likelihood),
                "behind_the_best": plain(row.behind),
                "perplexity": plain(row.scores.perplexity),
                "conditional_perplexity": plain(row.scores.conditional_perplexity),
                "by_position": [plain(f) for f in row.scores.by_position],
                "conditional_by_position": [plain(f) for f in row.scores.conditional_by_position],
                "impossible_pages": row.scores.impossible,
            }
            if row.model is not None:
                found |= {
                    "strength": row.model.strength,
                    "iterations": row.model.iterations,
                    "converged": row.model.converged,
                    "notes": list(row.model.notes),
                    "parameters": {
                        key: [None if math.isnan(v) else v for v in value.ravel().tolist()]
                        for key, value in row.model.parameters.items()
                    },
                }
            rows.append(found)
        return {
            "appeal": self.appeal,
            "train_pages": self.n_train_pages,
            "held_out_pages": self.n_held_pages,
            "confidence": self.confidence,
            "verdict": self.verdict(),
            "models": rows,
        }


def compare_click_models(
    train: ClickPages,
    held: ClickPages,
    config: ClickFitConfig | None = None,
    *,
    models: Sequence[str] = CLICK_MODELS,
    n_bootstrap: int = 1_000,
    confidence: float = 0.95,
    seed: int = 0,
    progress: bool = False,
) -> Comparison:
    """Fit `models` to `train`, judge them on `held`, which chooses nothing, and set them beside the rates by position.

    A model that the log cannot carry is listed with the reason.

    Raises:
        InputError: An unknown model, no held-out page, or a log that carries none of the models.
    """
    from simulators.clicks.fit import fit_click_model
    from simulators.clicks.scores import rates_prediction, score, subtract

    for name in models:
        law_named(name)
    config = config or ClickFitConfig()
    refused: list[Compared] = []
    judged: list[tuple[str, FittedClickModel | None, ClickScores]] = []
    reason: InputError | None = None
    how = {"n_bootstrap": n_bootstrap, "confidence": confidence, "seed": seed}
    for name in models:
        try:
            model = fit_click_model(name, train, config, progress=progress)
        except InputError as error:
            refused.append(Compared(name=name, refused=error.what))
            reason = error
            continue
        judged.append((name, model, score(model.predict(held), held, **how)))  # type: ignore[arg-type]
    if reason is not None and not judged:
        raise reason
    judged.append((BASELINE, None, score(rates_prediction(train, held), held, **how)))  # type: ignore[arg-type]
    judged.sort(key=lambda entry: -entry[2].log_likelihood.value)
    top = judged[0][2].log_likelihood
    rows = [
        Compared(
            name=name, model=model, scores=scores, behind=subtract(top, scores.log_likelihood, confidence)
        )
        for name, model, scores in judged
    ]
    return Comparison(
        rows=(*rows, *refused),
        n_train_pages=train.n_pages,
        n_held_pages=held.n_pages,
        appeal=config.appeal,
        confidence=confidence,
    )
