"""How much of a big log is held at a time."""

from __future__ import annotations

from dataclasses import dataclass

from behavior.numeric import check_integer, check_real

__all__ = ["BigLogConfig"]


@dataclass(frozen=True, kw_only=True)
class BigLogConfig:
    """Sizes by which memory is bounded; the result does not depend on them."""

    rows_per_part: int = 400_000
    """Rows checked at a time, about: the sessions are dealt out over parts of this size. A part takes some 1 kB
    a row while it is checked."""
    rows_per_write: int = 4_000_000
    """Rows dealt out over the parts at a time, which the engine holds: what exceeds `engine_gb` takes twice the
    time."""
    pages_per_chunk: int = 65_536
    """Pages of a file of the result, about: each holds whole sessions."""
    engine_gb: float = 1.0
    """GB of memory that the engine may take before it sorts and joins on disk."""
    fractions: tuple[float, float, float] = (0.7, 0.15, 0.15)
    """Shares of the sessions for training, validation and test, in order of time."""

    def __post_init__(self) -> None:
        check_integer(self.rows_per_part, where="BigLogConfig.rows_per_part", least=1, most=10**9)
        check_integer(self.rows_per_write, where="BigLogConfig.rows_per_write", least=1, most=10**9)
        check_integer(self.pages_per_chunk, where="BigLogConfig.pages_per_chunk", least=1, most=10**9)
        check_real(self.engine_gb, where="BigLogConfig.engine_gb", least=0.1)
