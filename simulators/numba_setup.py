"""Points numba's disk cache at a folder named after the kernels' sources. Import this before kernels and torch.

Numba keys its cache by the file a function is defined in and does not notice an edit to a function it calls in
another file; it then runs stale machine code in silence. A folder keyed by a digest of every kernel source
cannot go stale.
"""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

from behavior.files import cache_home

__all__ = ["kernel_digest"]

_ROOT = Path(__file__).resolve().parent.parent


def kernel_digest() -> str:
    """Digest of every `<room>/kernels/*.py` of this checkout."""
    digest = hashlib.sha256()
    for source in sorted(_ROOT.glob("*/kernels/*.py")):
        digest.update(source.relative_to(_ROOT).as_posix().encode())
        digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


_FOLDER = str(cache_home() / "numba" / kernel_digest())
os.environ["NUMBA_CACHE_DIR"] = _FOLDER
if "numba" in sys.modules:  # imported before us: it has read the environment already
    sys.modules["numba"].config.CACHE_DIR = _FOLDER
# OpenMP's threads spin while they wait. Where other processes want the same cores, each parallel kernel then
# waits for a descheduled spinner: two threads ran twenty times slower than one. The library reads this once, when
# it is loaded, so this module should be imported before torch.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
