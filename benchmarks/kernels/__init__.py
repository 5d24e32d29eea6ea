"""Numba kernels of the benchmarks: the naive step that ours is measured against, and bare limits of the machine."""
