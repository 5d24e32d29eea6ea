"""What a fit of click models may be told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from behavior.errors import InputError

__all__ = ["AppealKind", "ClickFitConfig"]

AppealKind = Literal["tables", "features"]


@dataclass(frozen=True, kw_only=True)
class ClickFitConfig:
    """How click models are fitted; the defaults suit logs from a hundred clicks to a million."""

    appeal: AppealKind = "tables"
    """'tables': a number for each query and item, shrunk towards the item's and that towards the overall one.
    'features': linear in what is known of item, query and user, so that unseen items get sensible values."""
    strengths: tuple[float, ...] = ()
    """Strengths of the Gaussian prior to try, strongest first, on the latest training sessions; none: a grid that
    suits the appeal. One strength is taken as it is; 0 is plain maximum likelihood."""
    tuning_share: float = 0.15
    """Share of the training sessions, the latest, on which strength and stopping are chosen."""
    refit: bool = True
    """Fit once more to all training sessions, with the strength and the iterations that were chosen."""
    max_iterations: int = 200
    """Most L-BFGS iterations of one fit (for the neural model: most epochs of Adam are a quarter of it)."""
    check_every: int = 10
    """Iterations between two looks at the sessions held out."""
    patience: int = 2
    """Looks without any gain after which a fit stops early."""
    hidden: int = 24
    """Neural model: width of its state."""
    seed: int = 0
    """Neural model: of its first weights and the order of its batches."""

    def __post_init__(self) -> None:
        checks = (
            ("strengths", all(s >= 0 for s in self.strengths), "numbers that are not negative"),
            ("tuning_share", 0.0 < self.tuning_share < 1.0, "between 0 and 1"),
            ("max_iterations", self.max_iterations >= 1, "at least 1"),
            ("check_every", self.check_every >= 1, "at least 1"),
            ("patience", self.patience >= 1, "at least 1"),
            ("hidden", self.hidden >= 1, "at least 1"),
        )
        for name, fine, expected in checks:
            if not fine:
                raise InputError(
                    f"{name} is {getattr(self, name)}, expected {expected}", where="ClickFitConfig"
                )

    @property
    def grid(self) -> tuple[float, ...]:
        """The strengths, strongest first."""
        if self.strengths:
            return tuple(sorted(self.strengths, reverse=True))
        return (30.0, 10.0, 3.0, 1.0, 0.3) if self.appeal == "tables" else (3000.0, 300.0, 30.0, 3.0)
