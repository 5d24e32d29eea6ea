from __future__ import annotations

import json
import re

import pytest

from benchmarks.pipeline_runs import ROOT, tables_of
from benchmarks.speed.docs import RESULTS


@pytest.mark.parametrize(
    ("document", "name"),
    [
        ("README.md", "pipeline-runs"),
        ("docs/learning.md", "pipeline-runs"),
        ("docs/learning.md", "pipeline-runs-seeds"),
    ],
)
def test_what_is_said_of_the_learners_is_what_was_kept(document: str, name: str) -> None:
    kept = json.loads((RESULTS / "pipeline_runs.json").read_text(encoding="utf-8"))
    block = re.search(
        rf"<!-- table: {name} -->\n(.*?)\n<!-- end of table -->",
        (ROOT / document).read_text(encoding="utf-8"),
        re.DOTALL,
    )
    assert block is not None
    assert block[1] == tables_of(kept)[name]
