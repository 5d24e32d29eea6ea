"""Catalogue and log as tables for a terminal."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from behavior.catalog import Catalog
from behavior.readers.formats import FORMATS
from behavior.summary import FEW_SHOWN, LogSummary, Overlap, Pauses

__all__ = ["print_catalog", "print_formats", "print_summary"]


def print_catalog(catalog: Catalog, console: Console) -> None:
    """Sizes and columns of a catalogue."""
    price = catalog.frame["price"].dropna()
    table = _pairs("Catalogue")
    _row(table, "products", f"{catalog.n_items:,}")
    _row(table, "categories", f"{catalog.frame['category'].nunique():,}")
    _row(table, "titles or texts", "yes" if catalog.has_text else "no, ids only")
    if len(price):
        low, mid, high = price.quantile([0.05, 0.5, 0.95])
        _row(table, "price (5 %, median, 95 %)", f"{low:,.2f}   {mid:,.2f}   {high:,.2f}")
    _row(table, "further numbers", _names(catalog.numeric_columns))
    _row(table, "further categories", _names(catalog.categorical_columns))
    for note in catalog.notes:
        _row(table, "note", note)
    console.print(table)


def print_summary(summary: LogSummary, console: Console) -> None:
    """Sizes, rates by position, and what the log can support."""
    table = _pairs("Log")
    _row(table, "rows (items shown)", f"{summary.n_rows:,}")
    _row(table, "impressions" if summary.single_impressions else "steps (pages)", f"{summary.n_steps:,}")
    _row(table, "sessions", f"{summary.n_sessions:,}")
    _row(table, "users", f"{summary.n_users:,}")
    _row(table, "items shown", f"{summary.n_items:,}")
    _row(table, "queries", f"{summary.n_queries:,}  ({summary.empty_query_share:.0%} of the pages have none)")
    _row(table, "positions", f"{summary.slate_size}")
    _row(table, "time", f"{summary.first_time[:19]} to {summary.last_time[:19]} UTC")
    _row(table, "clicks, purchases", f"{summary.clicks:,}, {summary.purchases:,}")
    _row(
        table, "steps per session", f"{summary.steps_per_session:.2f}  (longest {summary.longest_session:,})"
    )
    _row(
        table,
        "sessions per user",
        f"{summary.sessions_per_user:.2f}  ({summary.returning_users:.0%} of the users come again)",
    )
    _row(
        table,
        "long tail",
        f"the tenth of the items shown most gets {summary.head_share:.0%} of the impressions; {summary.tail_items:.0%} "
        f"were shown fewer than {FEW_SHOWN} times, {summary.unclicked_items:.0%} never clicked",
    )
    _row(table, "gaps in time", _pauses(summary.pauses))
    _row(table, "overlap", _overlap(summary.overlap))
    _row(table, "propensities", _propensities(summary.overlap))
    _row(
        table,
        "candidates per step",
        f"{summary.candidates_per_step:,.1f}" if summary.candidates_per_step else "unknown",
    )
    for name, count in summary.repaired.items():
        _row(table, f"repair {name}", f"{count:,} rows")
    for note in summary.notes:
        _row(table, "note", note)
    console.print(table)

    rates = Table(title="By position", title_justify="left", title_style="bold")
    for heading in ("position", "shown", "click rate", "95 % interval", "purchase rate"):
        rates.add_column(heading, justify="right")
    for row in summary.by_position:
        low, high = row.click_interval
        rates.add_row(
            str(row.position),
            f"{row.shown:,}",
            f"{row.click_rate:.2%}",
            f"{low:.2%} to {high:.2%}",
            f"{row.purchase_rate:.2%}",
        )
    console.print(rates)
    for title, texts in (
        ("This log supports", summary.supports),
        ("This log does not support", summary.lacks),
    ):
        console.print(f"{title}:" if texts else f"{title} nothing", style="bold")
        for text in texts:
            console.print(Padding(Text(f"- {text}"), (0, 0, 0, 2)))


def print_formats(console: Console) -> None:
    """Every format that can be read: what it is, what PATH has to be, what its rows say and do not."""
    table = Table(title="FORMAT:PATH", title_justify="left", title_style="bold", show_lines=True)
    table.add_column("format", no_wrap=True)
    for heading in ("what it is, and its page", "PATH", "knows", "does not know"):
        table.add_column(heading, overflow="fold")
    for entry in FORMATS.values():
        cells = (entry.name, f"{entry.title}\n{entry.page}", entry.path, entry.knows, entry.lacks)
        table.add_row(*(escape(cell) for cell in cells))
    console.print(table)
    console.print("A path without a format is a table of your own.", highlight=False)


def _pauses(pauses: Pauses) -> str:
    told = f"{pauses.days:,.1f} days, {pauses.empty_days:,} of them without a row"
    if pauses.longest_begins:
        told += f"; the longest pause is {pauses.longest_hours:,.1f} hours from {pauses.longest_begins[:16]}"
    if pauses.return_days == pauses.return_days:  # not nan
        told += f"; users return after {pauses.return_days:,.1f} days (median)"
    return told


def _overlap(overlap: Overlap) -> str:
    told = (
        f"{overlap.moved_items:.0%} of the items stood at several positions ({overlap.moved_rows:.0%} of the rows; "
        f"{overlap.moved_pairs:.0%} under one and the same query)"
    )
    if overlap.shown_candidates == overlap.shown_candidates:  # not nan
        told += f"; {overlap.shown_candidates:.0%} of the candidates were ever shown"
    if overlap.policies:
        told += f"; {overlap.policies} policies"
    return told


def _propensities(overlap: Overlap) -> str:
    return (
        "\n".join(
            f"{name}: {fact.known:.0%} of the rows, smallest {fact.smallest:.2g}, median {fact.median:.2g}; an even "
            f"policy rests on {fact.even_weight:.0%} of them"
            for name, fact in overlap.propensities.items()
        )
        or "unknown"
    )


def _pairs(title: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    return table


def _row(table: Table, name: str, value: str) -> None:
    table.add_row(escape(name), escape(value))


def _names(names: tuple[str, ...]) -> str:
    if not names:
        return "none"
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
