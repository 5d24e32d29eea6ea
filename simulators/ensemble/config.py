"""What the fit of an ensemble may be told."""

from __future__ import annotations

from dataclasses import dataclass, field

from behavior.errors import InputError
from simulators.fitting.config import FitConfig

__all__ = ["EnsembleConfig"]


@dataclass(frozen=True, kw_only=True)
class EnsembleConfig:
    """How many fits to resampled sessions, and of which click models."""

    members: int = 8
    """Fits to resampled sessions. Intervals of Student's t grow wide with fewer than about five."""
    families: tuple[str, ...] = ()
    """Click models that take turns among the members. None given: all that this log can carry and that the latest
    training sessions cannot tell from the best of them."""
    member_iterations: int = 30
    """Most L-BFGS iterations of a member's fit, which starts from the fit to the log as it is."""
    draw_centres: bool = True
    """Whether each member's priors are centred at a draw from the prior, so that members disagree about what the log
    never shows; otherwise at zero, for comparison."""
    fit: FitConfig = field(default_factory=FitConfig)
    """How the fits to the log as it is are made; they choose the priors' strengths for the members."""

    def __post_init__(self) -> None:
        for name, least in (("members", 2), ("member_iterations", 1)):
            if getattr(self, name) < least:
                raise InputError(
                    f"{name} is {getattr(self, name)}, expected {least} or more",
                    where="EnsembleConfig",
                    mend="one fit alone has no spread" if name == "members" else "give a larger number",
                )
        if len(set(self.families)) < len(self.families):
            raise InputError(
                f"a click model is named twice: {', '.join(self.families)}",
                where="EnsembleConfig.families",
                mend="name each once",
            )
