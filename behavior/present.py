"""Catalogue and log as tables for a terminal."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from behavior.catalog import Catalog
from behavior.summary import LogSummary

__all__ = ["print_catalog", "print_summary"]


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
        f"the tenth of the items shown most gets {summary.head_share:.0%} of the impressions",
    )
    known = ", ".join(f"{name} {share:.0%} of rows" for name, share in summary.propensities.items())
    _row(table, "propensities", known or "unknown")
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
    for heading in ("position", "shown", "click rate", "purchase rate"):
        rates.add_column(heading, justify="right")
    for row in summary.by_position:
        rates.add_row(
            str(row.position), f"{row.shown:,}", f"{row.click_rate:.2%}", f"{row.purchase_rate:.2%}"
        )
    console.print(rates)

    verdict = _pairs("What this log supports")
    for text in summary.supports:
        _row(verdict, "yes", text)
    for text in summary.lacks:
        _row(verdict, "no", text)
    console.print(verdict)


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
