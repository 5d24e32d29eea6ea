"""What several subcommands do: choose an encoder, count what judges, print a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from behavior.errors import InputError

if TYPE_CHECKING:
    from encoders.pairs import PairCounts
    from encoders.text import TextEncoder
    from pipeline.data import ShopData

__all__ = ["later_pairs", "named_encoder", "print_table"]


def named_encoder(name: str, device: str) -> TextEncoder:
    """The text encoder called `name`: 'hash' for the one without weights, else what `BertEncoder` takes."""
    if name == "hash":
        from encoders.text import HashEncoder

        return HashEncoder()
    from encoders.bert import BertEncoder

    return BertEncoder(name, device=device)


def later_pairs(shop: ShopData, data: str) -> PairCounts:
    """Pairs of the test part of a log, of queries with a text: what judges a relevance model.

    Args:
        shop: The log; its training part says how far each position is looked at.
        data: Where it came from, to be named.

    Raises:
        InputError: The test part shows nothing for such a query.
    """
    import numpy as np

    from encoders.pairs import count_pairs, examination_by_position

    pairs = count_pairs(shop.test, examination_by_position(shop.train))
    has_text = np.array([bool(text.strip()) for text in shop.queries], np.bool_)
    pairs = pairs.take(has_text[pairs.query])
    if not pairs.n_pairs:
        raise InputError("the test part of the log shows nothing for a query with a text", where=data)
    return pairs


def print_table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table with a title to standard output."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for name in header:
        table.add_column(name, overflow="fold")  # a cut name says less than a long column
    for row in rows:
        table.add_row(*row)
    # What stands in brackets or between colons is text of the shop, no mark-up.
    Console(markup=False, emoji=False).print(table)
