"""What all benchmarks share: their options, the shape of their figures, and the JSON they print."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import tyro

from behavior.errors import InputError
from behavior.files import atomic_path, refuse_existing

__all__ = ["Case", "Options", "case", "machine", "main", "result"]


@dataclass(frozen=True, kw_only=True)
class Options:
    """What to measure, and where to put it."""

    quick: bool = False
    """Smaller sizes; ends within 45 seconds on 2 cores."""
    json: Path | None = None
    """Write the figures here as JSON; a file that exists is not overwritten."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One figure; `ratio` is value / reference, None where there is nothing to compare with."""

    case: str
    value: float
    unit: str
    reference: float | None = None
    ratio: float | None = None


def case(name: str, value: float, unit: str, reference: float | None = None) -> Case:
    """A figure, beside its reference where there is one."""
    ratio = None if not reference else float(value) / float(reference)
    return Case(
        case=name,
        value=float(value),
        unit=unit,
        reference=None if reference is None else float(reference),
        ratio=ratio,
    )


def machine() -> str:
    """The machine in words: processor, cores, system."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        names = [
            line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if "model name" in line
        ]
        model = names[0] if names else model
    return f"{model}, {os.cpu_count()} cores, {platform.system()}"


def result(
    benchmark: str, cases: Iterable[Case], *, packages: Sequence[str] = ("numpy", "numba")
) -> dict[str, Any]:
    """The one object that a benchmark prints."""
    return {
        "benchmark": benchmark,
        "machine": machine(),
        "versions": {"python": platform.python_version()} | {name: version(name) for name in packages},
        "cases": [asdict(found) for found in cases],
    }


def main(
    measure: Callable[[Any], dict[str, Any]],
    options: type[Options] = Options,
    *,
    description: str | None,
    arguments: Sequence[str] | None = None,
) -> int:
    """Run a benchmark from the command line; the exit code.

    The figures are printed before they are written: a long measurement is not lost to a full disk.

    Args:
        measure: Options -> the result.
        options: Its options.
        description: For the help text.
        arguments: Of the command; those of the process by default.
    """
    started = getattr(sys.modules["__main__"], "__spec__", None)
    prog = None if started is None else f"python -m {started.name}"
    given = tyro.cli(options, args=arguments, prog=prog, description=description)
    try:
        if given.json is not None:
            refuse_existing(given.json)
        text = json.dumps(measure(given), indent=1, allow_nan=False)
        print(text)
        if given.json is not None:
            with atomic_path(given.json) as temporary:
                temporary.write_text(text + "\n", encoding="utf-8")
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0
