"""How many CPU threads a process may use."""

from __future__ import annotations

__all__ = ["use_threads"]


def use_threads(n: int) -> None:
    """At most `n` CPU threads for networks and simulators."""
    import simulators.kernels  # noqa: F401  (sets up the kernel cache before numba loads)

    import numba  # isort: skip
    import torch

    numba.set_num_threads(min(n, numba.get_num_threads()))
    torch.set_num_threads(n)
