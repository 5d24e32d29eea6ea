"""Numba kernels: the hot loops over users. Importing this package sets up the kernel cache."""

import simulators.numba_setup  # noqa: F401  (before numba)
