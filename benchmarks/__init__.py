"""Every figure that the docs quote, as a script that prints JSON.

`python -m benchmarks.<name> [--quick] [--json FILE]`
"""

import simulators.numba_setup  # noqa: F401  (before numba and torch)
