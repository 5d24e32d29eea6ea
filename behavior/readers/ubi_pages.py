"""What a page of search results is known to have shown, from impressions and from the engine's answer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

__all__ = ["Page", "PageCounts", "shown_items"]


@dataclass
class Page:
    """All that queries and events say of one query id."""

    query: str = ""
    application: str = ""
    session: str = ""
    client: str = ""
    user: str = ""
    times: list[Any] = field(default_factory=list)
    hits: list[str] = field(default_factory=list)
    """Ids that the engine returned, best first; empty where it did not say."""
    impressions: list[tuple[int, str]] = field(default_factory=list)
    """Ordinal and item, in order of the events."""
    clicked: set[str] = field(default_factory=set)
    bought: set[str] = field(default_factory=set)


@dataclass
class PageCounts:
    """What was passed over because it is not known to have been shown."""

    unseen: int = 0
    """Queries with events of a response, but neither impressions nor hits."""
    from_hits: int = 0
    """Pages that are the engine's answer, as no impression was logged."""
    beheaded: int = 0
    """Pages whose first place is unknown."""
    cut: int = 0
    """Shown items below an unknown place."""
    moved: int = 0
    """Impressions of a place or an item that the page had shown before."""
    elsewhere: int = 0
    """Clicks and purchases of items that the page is not known to have shown."""

    def notes(self) -> list[str]:
        """One sentence for each that is not 0."""
        told = (
            (
                self.unseen,
                "queries have neither impressions nor returned ids: nothing is known of their pages",
            ),
            (self.from_hits, "pages are taken from the ids that the engine returned, all counted as shown"),
            (self.beheaded, "pages are left out: what stood at their first place is unknown"),
            (
                self.cut,
                "impressions below an unknown place are left out: a page ends where it is no longer known",
            ),
            (
                self.moved,
                "impressions repeat a place or an item of their page (a new sort or filter): the first holds",
            ),
            (
                self.elsewhere,
                "clicks or purchases are left out: their items are not known to have been shown there",
            ),
        )
        return [f"{count:,} {text}" for count, text in told if count]


def shown_items(page: Page, base: int, counts: PageCounts) -> list[str]:
    """The items of the page from its top down to the first place that is unknown.

    Args:
        page: What was gathered.
        base: The ordinal of the first place, 0 or 1.
        counts: What is passed over is added here.

    Returns:
        Items by position; empty where nothing is known.
    """
    if page.impressions:
        at: dict[int, str] = {}
        for ordinal, item in page.impressions:
            if ordinal in at or item in at.values():
                counts.moved += (ordinal, item) not in at.items()
            else:
                at[ordinal] = item
        items: list[str] = []
        while base + len(items) in at:
            items.append(at[base + len(items)])
        counts.beheaded += not items
        counts.cut += len(at) - len(items) if items else 0
    else:
        items = list(dict.fromkeys(page.hits))
        counts.from_hits += bool(items)
        counts.unseen += not items and bool(page.clicked or page.bought or page.query)
    shown = set(items)
    counts.elsewhere += len(page.clicked - shown) + len(page.bought - shown)
    return items
