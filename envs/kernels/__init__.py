"""Numba kernels of the environment: one user a loop turn, serial and parallel twins."""

import simulators.kernels  # noqa: F401  (sets up the kernel cache before numba is imported)
