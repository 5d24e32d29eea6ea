"""What several subcommands do: choose an encoder, print a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from encoders.text import TextEncoder

__all__ = ["named_encoder", "print_table"]


def named_encoder(name: str, device: str) -> TextEncoder:
    """The text encoder called `name`: 'hash' for the one without weights, else what `BertEncoder` takes."""
    if name == "hash":
        from encoders.text import HashEncoder

        return HashEncoder()
    from encoders.bert import BertEncoder

    return BertEncoder(name, device=device)


def print_table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table with a title to standard output."""
    from rich.console import Console
    from rich.table import Table

    table = Table(*header, title=title, title_justify="left")
    for row in rows:
        table.add_row(*row)
    Console().print(table)
