"""The report for the terminal: the verdict first, then the figures it rests on."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from simulators.trust.compare import Measured
from simulators.trust.report import TrustReport

__all__ = ["show_report"]

_COLOURS = {"yes": "green", "perhaps": "yellow", "open": "yellow", "no": "red", "not measured": "yellow"}
_WORDS = {"agrees": "agrees", "small": "small", "differs": "DIFFERS", "open": "open"}


def show_report(report: TrustReport) -> Group:
    """Everything but the single figures, which are in the JSON file, at most 100 columns wide."""
    return Group(*_parts(report))


def _parts(report: TrustReport) -> Iterator[RenderableType]:
    v = report.verdict
    yield Text(v.headline, style=f"bold {_COLOURS[v.answer]}")
    yield Text()
    uses = Table(title=f"What {report.name} may be used for", title_justify="left", width=100)
    for column, width in (("use", 33), ("supported", 12), ("because", None)):
        uses.add_column(column, width=width)
    for decision in v.decisions:
        uses.add_row(decision.use, Text(decision.answer, style=_COLOURS[decision.answer]), decision.because)
    yield uses
    checks = Table(
        title=f"{report.n_held_out:,} held-out sessions against simulated users, "
        f"{report.config.confidence:.0%} intervals",
        title_justify="left",
        width=100,
    )
    for column in ("measure", "distance", "interval", "by chance", "verdict", "most at"):
        checks.add_column(
            column, justify="right" if column in ("distance", "interval", "by chance") else "left"
        )
    status = {check.name: _WORDS[check.status] for check in v.checks}
    for m in report.measures:
        d = m.distance
        checks.add_row(
            m.name, f"{d.value:.1%}", f"{d.low:.1%}–{d.high:.1%}", f"{d.noise:.1%}", status[m.name], _most(m)
        )
    yield checks
    yield Text(
        "distance: of rates and calibration, mean difference as a share of the mean rate; else total variation",
        style="dim",
    )
    for test in report.tests:
        verdict = status[f"{test.rows}s told apart by a classifier"]
        yield Text(
            f"classifier on {test.rows}s: area {test.area.value:.3f} [{test.area.low:.3f}, {test.area.high:.3f}], two "
            f"halves of the log {test.null.value:.3f}: {verdict}"
        )
        if verdict != "agrees" and test.clues:
            yield Text(f"  by {'; '.join(clue.words for clue in test.clues[:3])}")
    for s in report.scores:
        if not s.measure.startswith("click perplexity"):
            yield Text(
                f"{s.measure}: {s.value:.4f}, constant rate {s.baseline:.4f}, gain {s.gain:+.4f} "
                f"[{s.gain_low:+.4f}, {s.gain_high:+.4f}]"
            )
    perplexity = [s for s in report.scores if s.measure.startswith("click perplexity")]
    if perplexity:
        yield Text(f"click perplexity by position: {' '.join(f'{s.value:.3f}' for s in perplexity)}")
        yield Text(f"              constant rates: {' '.join(f'{s.baseline:.3f}' for s in perplexity)}")
    for part in report.left_out:
        yield Text(f"left out: {part.what}: {part.why}", style="dim")
    for note in report.notes:
        yield Text(f"note: {note}", style="dim")


def _most(m: Measured) -> str:
    cell = m.largest()
    return f"{cell.label}: {cell.simulated:.3g}, log {cell.logged:.3g}"
