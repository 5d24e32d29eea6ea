"""How big the demo store is."""

from __future__ import annotations

from dataclasses import dataclass, field

from store.true_user import TrueUserConfig

__all__ = ["StoreConfig"]


@dataclass(frozen=True, kw_only=True)
class StoreConfig:
    """Size and seed of a store. The same configuration gives the same store, to the byte."""

    seed: int = 0
    """Seed of everything: products, queries, people and the log."""
    n_products: int = 2400
    """Products in the catalogue."""
    n_queries: int = 480
    """Queries, the empty one of the recommendation page among them."""
    n_sessions: int = 6000
    """Sessions in the log."""
    n_people: int = 4000
    """People who make them; a person comes once to four times."""
    slate_size: int = 10
    """Positions on a page of the log."""
    n_candidates: int = 50
    """Candidates of a page of the log."""
    max_steps: int = 10
    """Pages after which a session of the log is cut."""
    temperature: float = 0.7
    """Temperature of the behaviour policy's Plackett-Luce draw."""
    user: TrueUserConfig = field(default_factory=TrueUserConfig)
    """Constants of the true user."""

    def __post_init__(self) -> None:
        least = {"n_people": 1, "max_steps": 1, "slate_size": 1}
        for name, value in least.items():
            if getattr(self, name) < value:
                raise ValueError(f"{name} must be at least {value}, found {getattr(self, name)}")
        if self.n_candidates < self.slate_size:
            raise ValueError(
                f"n_candidates must be at least slate_size {self.slate_size}, found {self.n_candidates}"
            )
        if not self.temperature > 0:
            raise ValueError(f"temperature must be above 0, found {self.temperature}")
        if not self.n_people <= self.n_sessions <= 4 * self.n_people:
            raise ValueError(
                f"n_sessions must lie between n_people and four times that, found {self.n_sessions} sessions "
                f"of {self.n_people} people"
            )

    @classmethod
    def tiny(cls, *, seed: int = 0) -> StoreConfig:
        """A store for tests, made in a second or two."""
        return cls(
            seed=seed,
            n_products=200,
            n_queries=40,
            n_sessions=300,
            n_people=200,
            n_candidates=30,
            max_steps=6,
        )
