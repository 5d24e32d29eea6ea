"""Whether a file fits into memory, asked before it is read: better a sentence now than a killed process later."""

from __future__ import annotations

import os
from pathlib import Path

from behavior.errors import InputError

__all__ = ["GROWTH", "check_room", "free_bytes"]

GROWTH = 10.0
"""Memory at the peak of reading and validating, as a multiple of the text file's size (`docs/logs/README.md`)."""

_LIMITS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)


def free_bytes() -> int | None:
    """Memory that this process could still get, in bytes; None where the system does not say."""
    free: list[int] = []
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        free += [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    except (OSError, ValueError, IndexError):
        if hasattr(os, "sysconf") and "SC_AVPHYS_PAGES" in os.sysconf_names:
            free.append(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    for limit, used in _LIMITS:  # a container may be given less than the machine has
        try:
            free.append(int(Path(limit).read_text()) - int(Path(used).read_text()))
        except (OSError, ValueError):  # no such file, or "max"
            continue
    return max(min(free), 0) if free else None


def check_room(path: Path, growth: float = GROWTH) -> None:
    """Raise where reading the file whole would need more memory than there is.

    Args:
        path: A file; what does not exist is somebody else's error.
        growth: Peak memory as a multiple of the file's size.

    Raises:
        InputError: It does not fit.
    """
    free = free_bytes()
    if free is None or not path.is_file():
        return
    need = path.stat().st_size * growth
    if need > free:
        raise InputError(
            f"the file has {path.stat().st_size / 1e9:,.1f} GB; read whole it needs about {need / 1e9:,.1f} GB of "
            f"memory, and {free / 1e9:,.1f} GB are free",
            where=str(path),
            mend="read it with `python -m behavior prepare`, part it by time or by user, or leave columns out",
        )
