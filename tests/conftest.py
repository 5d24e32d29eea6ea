"""Settings for all tests: few threads, no hub, caches of their own."""

from __future__ import annotations

import os
import tempfile

for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "2")
# Threads that wait for each other over small matrices cost seconds on a busy machine.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("NUMBA_NUM_THREADS", "2")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("MPLBACKEND", "Agg")
# matplotlib writes its font cache on first import; a temporary folder keeps tests off the user's home
os.environ.setdefault("MPLCONFIGDIR", tempfile.mkdtemp(prefix="slategym-mpl-"))
