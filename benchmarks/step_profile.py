"""Where the time of a step goes, beside the least that it could take.

`python -m benchmarks.step_profile [--quick] [--json FILE]`. For each size of catalogue (B 1,024, one thread, the worlds
of `benchmarks.environment`):

- the whole `SlateCore.step`: the one pass over the users, the renewal of finished sessions, and the rest, in Python;
- the same work as separate kernels, phase by phase: what each phase takes alone;
- the lower limit: the rows and bytes that a step must touch, and the random numbers it must draw, each at the rate that
  a bare kernel reaches on this machine; the ratio to it is how far the step is from it.

`--write-docs` measures nothing: it writes the tables of docs/performance.md and of the README anew from
benchmarks/results/*.json.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import Any

from tqdm import tqdm

from benchmarks.common import Options, main, result
from benchmarks.speed.child import in_child
from benchmarks.speed.docs import DOCUMENTS, RESULTS, write_tables
from benchmarks.speed.table import show

__all__ = ["ProfileOptions", "measure"]


@dataclass(frozen=True, kw_only=True)
class ProfileOptions(Options):
    """What to measure, and where to put it."""

    write_docs: bool = False
    """Measure nothing; write the tables of the documents from the results that are kept."""


def measure(options: ProfileOptions) -> dict[str, Any]:
    """All cases; `--quick`: short windows, and without the million."""
    if options.write_docs:
        for document in DOCUMENTS:
            print(f"{document.name}: {', '.join(write_tables(document))}", file=sys.stderr)
        kept: dict[str, Any] = json.loads((RESULTS / "step_profile.json").read_text(encoding="utf-8"))
        return kept
    sizes = (1_000, 100_000) if options.quick else (1_000, 100_000, 1_000_000)
    seconds = 1.0 if options.quick else 5.0
    cases = []
    for n_items in tqdm(sizes, desc="step profile", unit="catalogue", disable=None):
        cases += in_child("profile", n_items=n_items, seconds=seconds)
    show("step profile", cases)
    return result("step_profile", cases)


if __name__ == "__main__":
    sys.exit(main(measure, ProfileOptions, description=__doc__))
