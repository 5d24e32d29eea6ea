"""`report.html`: one self-contained page that says what a run found and how far it can be trusted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from behavior.files import atomic_path
from evaluation.agreement_result import FIGURES
from evaluation.formatting import count, number, percent, plus_minus, share
from evaluation.plots import draw_agreement, draw_curves, draw_positions, draw_scores
from evaluation.relevance_picture import draw_reliability
from evaluation.report_data import ReportData, ReportTable
from evaluation.trust_pictures import draw_trust

__all__ = ["render_report", "write_report"]

_TEMPLATES = Path(__file__).resolve().parent / "templates"


def write_report(data: ReportData, path: Path) -> Path:
    """Writes the report, whole or not at all.

    Raises:
        InputError: The disk is full, or the folder cannot be written to.
    """
    text = render_report(data)
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path


def render_report(data: ReportData) -> str:
    """The report as HTML, with every picture and style inside."""
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        plus_minus=plus_minus, share=share, percent=percent, count=count, cell=_cell, number=number
    )
    return environment.get_template("report.html.j2").render(
        data=data,
        numeric=_numeric,
        scores=Markup(draw_scores(data.table)),  # our own SVG: its texts are escaped by matplotlib
        curves=Markup(draw_curves(data.curves)) if data.curves else "",
        positions=Markup(draw_positions(data.positions)) if data.positions else "",
        agreement_picture=Markup(draw_agreement(data.agreement.agreement, data.agreement.unit))
        if data.agreement is not None and data.agreement.agreement is not None
        else "",
        agreement_figures=FIGURES,
        reliability=Markup(draw_reliability(data.reliability)) if data.reliability else "",
        trust_pictures={name: Markup(draw_trust(found)) for name, found in data.trust.items()},
        trust_config=next((found.config for found in data.trust.values()), None),
        has_gap=any(row.share_of_gap for row in data.table.rows),
        has_ndcg=any(row.ndcg == row.ndcg for row in data.table.rows),
        has_fitted=any(row.fitted_score for row in data.table.rows),
    )


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return number(value)
    return str(value)


def _numeric(table: ReportTable, column: int) -> bool:
    """Whether all cells of a column are numbers or blank."""
    cells = [row[column] for row in table.rows]
    return any(cell is not None for cell in cells) and all(
        cell is None or (isinstance(cell, (int, float)) and not isinstance(cell, bool)) for cell in cells
    )
