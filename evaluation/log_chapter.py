"""The chapter of `report.html` on what the log says, and the same chapter as a page of its own."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from behavior.files import atomic_path
from evaluation.log_judgement import LogJudgement
from evaluation.log_plots import draw_figures, draw_overlaps
from evaluation.log_table import judgement_columns, judgement_notes
from evaluation.log_verdict import LogVerdict

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

__all__ = ["LogChapter", "write_chapter", "write_judgement_scalars"]

_TEMPLATES = Path(__file__).resolve().parent / "templates"


@dataclass(frozen=True)
class LogChapter:
    """A judgement, ready for a page."""

    found: LogJudgement
    """The figures."""
    verdict: LogVerdict
    """What they say."""

    @cached_property
    def headings(self) -> tuple[str, ...]:
        """Of the table, after place and policy."""
        return tuple(heading.replace("\n", " ") for heading, _ in judgement_columns(self.found))

    @cached_property
    def rows(self) -> tuple[tuple[str, str, str, tuple[str, ...]], ...]:
        """Place, policy, why it is not to be believed, and the cells."""
        columns = [cells for _, cells in judgement_columns(self.found)]
        believed = self.found.believed()
        out = []
        for name in self.found.ranking():
            figure = self.found.figure(name)
            why = self.found[name].reason if figure is None else figure.reason
            place = str(believed.index(name) + 1) if name in believed else "-"
            out.append((place, name, why, tuple(cells[name] for cells in columns)))
        return tuple(out)

    @property
    def notes(self) -> tuple[str, ...]:
        """How to read the table."""
        return judgement_notes(self.found)

    @cached_property
    def picture(self) -> Markup:
        """Figures with intervals; our own SVG, whose texts matplotlib has escaped."""
        return Markup(draw_figures(self.found))

    @cached_property
    def overlaps(self) -> dict[str, Markup]:
        """Weights by policy."""
        return {name: Markup(picture) for name, picture in draw_overlaps(self.found).items()}


def write_chapter(chapter: LogChapter, path: Path, *, title: str) -> Path:
    """Writes the chapter as a self-contained page."""
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    text = environment.get_template("off_policy_page.html.j2").render(chapter=chapter, title=title)
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path


def write_judgement_scalars(writer: SummaryWriter, found: LogJudgement, *, step: int = 0) -> None:
    """Scalars `off_policy/<policy>/<estimator>` of figures with support, and their diagnostics."""
    for name, one in found.policies.items():
        tag = name.replace(" ", "_")
        for figure in one.figures.values():
            if not figure.supported:
                continue
            estimator = figure.estimator.replace(":", ".")
            writer.add_scalar(f"off_policy/{tag}/{estimator}", figure.value, step)
            writer.add_scalar(f"off_policy_low/{tag}/{estimator}", figure.interval.low, step)
            writer.add_scalar(f"off_policy_high/{tag}/{estimator}", figure.interval.high, step)
            writer.add_scalar(f"off_policy_users/{tag}/{estimator}", figure.diagnostics.ess_clusters, step)
    lines = [f"| {' | '.join(['policy', 'trust', 'why'])} |", "|---|---|---|"]
    for name in found.ranking():
        figure_now = found.figure(name)
        trust = "no figure" if figure_now is None else figure_now.diagnostics.trust
        why = found[name].reason if figure_now is None else figure_now.reason
        lines.append(f"| {name} | {trust} | {why} |")
    writer.add_text("off_policy/trust", "\n".join(lines), step)
