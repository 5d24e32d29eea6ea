"""The stage between judgement and report: how far the simulator's own values of policies can be believed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from behavior.files import atomic_path
from pipeline.run_folder import RunFolder

if TYPE_CHECKING:
    from evaluation.agreement_run import AgreementChapter
    from evaluation.off_policy import OffPolicyResult
    from evaluation.run_artifacts import Judgement, JudgeOptions, RunArtifacts

__all__ = ["agreement", "print_chapter"]


def agreement(
    run: RunFolder,
    held: RunArtifacts,
    options: JudgeOptions,
    judged: Judgement,
    off_policy: Mapping[str, OffPolicyResult],
) -> AgreementChapter:
    """Compare, and keep the figures as `agreement.json` in the run's folder."""
    from evaluation.agreement_run import judge_agreement

    chapter = judge_agreement(held, options, judged=judged, off_policy=off_policy)
    with atomic_path(run.path / "agreement.json") as temporary:
        temporary.write_text(json.dumps(chapter.to_json(), indent=1) + "\n", encoding="utf-8")
    return chapter


def print_chapter(chapter: AgreementChapter, *, whole: bool = False) -> None:
    """The finding, and the policies in all simulators, on the terminal; `whole`: every policy and every figure."""
    console = Console()
    console.width = max(console.width, 120)
    if whole and chapter.agreement is not None:
        console.print(chapter.agreement.table(), crop=False)
    if whole:
        for name, why in chapter.unsupported:
            console.print(Text(f"left out, {name}: {why}", style="dim"))
    console.print(Text(f"\n{chapter.sentence()}"))
    cross = chapter.cross
    if cross is not None and cross.gaps:
        console.print()
        console.print(cross.values_table(), crop=False)
        console.print()
        console.print(cross.gaps_table(), crop=False)
        console.print(Text(cross.sentence()))
