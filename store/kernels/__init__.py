"""Numba kernels of the demo store. Importing this package sets up the kernel cache."""

import simulators.numba_setup  # noqa: F401  (before numba)
