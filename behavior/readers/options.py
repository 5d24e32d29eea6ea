"""What a reader of a published format may be told, and what it gives back."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from behavior.catalog import Catalog
from behavior.errors import InputError
from behavior.log import InteractionLog
from behavior.numeric import check_real

__all__ = ["ACTIONS", "ReadOptions", "Reader", "action_names", "positive_threshold"]


ACTIONS = ("impression", "click", "purchase")
"""What an event can mean for a log."""


def _no_actions() -> dict[str, str]:
    return {}


@dataclass(frozen=True, kw_only=True)
class ReadOptions:
    """How to read; a format has use for some of these only (`behavior.readers.formats`)."""

    repairs: tuple[str, ...] = ()
    """Repairs that may be made, by name."""
    catalog: Catalog | None = None
    """The shop's own products, where the format has none; None: items are known by what the format says of them."""
    gap_minutes: float | None = None
    """Pause after which a user's events are a new visit, in minutes; None: 30."""
    positive_from: float | None = None
    """Smallest rating (share watched) that counts as a click, where the format has no clicks."""
    actions: Mapping[str, str] = field(default_factory=_no_actions)
    """Names of events that the shop chose itself, to `impression`, `click` or `purchase`."""
    progress: bool = True
    """Show a bar where reading lasts longer than two seconds."""


Reader: TypeAlias = Callable[[Path, ReadOptions], tuple[Catalog, InteractionLog]]
"""Reads catalogue and log from a file or folder; raises `InputError` for what it cannot read."""


def action_names(written: Collection[str]) -> dict[str, str]:
    """`their_name=our_name` as a mapping.

    Raises:
        InputError: An entry that is not written so, or whose second name is none of `ACTIONS`.
    """
    out: dict[str, str] = {}
    for entry in written:
        theirs, equals, ours = entry.partition("=")
        if not equals or not theirs or ours not in ACTIONS:
            raise InputError(
                f"{entry!r} is no name of an action, expected YOURS=OURS",
                where="--actions",
                mend=f"write for example product_click=click; ours are {', '.join(ACTIONS)}",
            )
        out[theirs] = ours
    return out


def positive_threshold(options: ReadOptions, *, title: str, what: str, example: str) -> float:
    """The threshold that the user chose.

    Args:
        options: With `positive_from`.
        title: The format's name.
        what: What the format has instead of clicks.
        example: A threshold to try, and where it comes from.

    Raises:
        InputError: None was given, or it is no number: a choice of ours would be an invented click.
    """
    if options.positive_from is None:
        raise InputError(
            f"{title} has {what} and no clicks: say from which value on an item counts as clicked",
            where="--positive-from",
            mend=f"for example --positive-from {example}",
        )
    check_real(options.positive_from, where="positive_from")
    return float(options.positive_from)
