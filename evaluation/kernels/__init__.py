"""Numba kernels of the judgement. Importing this package sets up the kernel cache."""

import simulators.kernels  # noqa: F401  (before numba)
