"""What the held-out part of the log says of a run's policies, by every estimator that fits."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from behavior.errors import InputError
from evaluation.log_chapter import LogChapter, write_chapter
from evaluation.log_judge import LogJudge
from evaluation.log_table import write_judgement
from evaluation.log_verdict import judge_judgement
from evaluation.report_data import ReportTable

if TYPE_CHECKING:
    from evaluation.run_artifacts import JudgeOptions, RunArtifacts

__all__ = ["keep_chapter", "log_chapter", "report_table"]

_NAME = "off_policy"


def log_chapter(held: RunArtifacts, options: JudgeOptions) -> LogChapter | str:
    """The judgement of all policies; a text says why there is none.

    The final table keeps one figure a policy; this says what other estimators make of them, which of them the log's
    own users refute, and how sure a choice is.
    """
    if held.steps_test is None or held.observation_test is None:
        return "the log states no propensities or no candidates"
    shop = (held.world_fitted.features, held.task)
    judge = LogJudge.of(
        held.steps_test, held.observation_test, purchase_weight=held.task.purchase_weight
    ).with_policies(held.policies, source="this run", shop=shop)
    try:
        found = judge.judge(progress=not options.quiet)
    except InputError as error:  # a log that contradicts itself is no reason to lose the run
        return error.what
    return LogChapter(found, judge_judgement(found, seed=held.seed))


def keep_chapter(chapter: LogChapter, folder: Path) -> tuple[Path, ...]:
    """Writes `off_policy.json`, `.csv` and `.html` into the folder of a run."""
    written = write_judgement(chapter.found, chapter.verdict, folder)
    page = write_chapter(chapter, folder / f"{_NAME}.html", title=f"{folder.name}: what the log alone says")
    return (*written, page)


def report_table(chapter: LogChapter) -> ReportTable:
    """The judgement as a table of `report.html`: figures by estimator, and the verdict in words."""
    rows = tuple((place, name, *cells, why) for place, name, why, cells in chapter.rows)
    # Why a figure is not believed stands in its row; that it stands above all that are believed must be said aloud.
    loud = [w for w in chapter.verdict.warnings if "NOT TO BELIEVE" not in w or "is above that of" in w]
    words = " ".join(
        [chapter.verdict.headline, *chapter.verdict.lines, *(f"WARNING: {w}" for w in loud), *chapter.notes]
    )
    return ReportTable(
        caption="What the log alone says, by every estimator that fits it",
        columns=("rank", "policy", *chapter.headings, "not to be believed because"),
        rows=rows,
        note=f"{words} Pictures of how the policies overlap with the log: {_NAME}.html in the folder of the run.",
    )
