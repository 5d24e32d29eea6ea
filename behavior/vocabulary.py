"""The names of the columns of a catalogue and of a log, said once."""

from __future__ import annotations

__all__ = [
    "CANDIDATE_COLUMNS",
    "CATALOG_COLUMNS",
    "COMMON_NAMES",
    "CONTEXT_PREFIX",
    "LOG_COLUMNS",
    "LOG_ORDER",
    "OPTIONAL_LOG_COLUMNS",
    "REPAIRS",
    "REQUIRED_LOG_COLUMNS",
    "SINGLE_IMPRESSION",
]

CATALOG_COLUMNS: dict[str, str] = {
    "item_id": "text, unique: the product's number in your shop",
    "title": "text: what the customer reads first",
    "text": "text: everything else that describes the product; several columns may be joined",
    "category": "text: one label a product",
    "price": "number >= 0, empty where unknown",
}
"""Canonical catalogue columns and what they hold; only `item_id` is required."""

REQUIRED_LOG_COLUMNS: dict[str, str] = {
    "session_id": "text: one visit of one user",
    "step": "whole number from 0: the page within the session",
    "timestamp": "ISO 8601 date and time, or a number of seconds (or ms, µs, ns) since 1970",
    "position": "whole number: the place on the page, 0 is the first",
    "item_id": "text: a product of the catalogue",
    "click": "0 or 1 (or true, false)",
}
"""What a log cannot do without."""

OPTIONAL_LOG_COLUMNS: dict[str, str] = {
    "user_id": "text: who; without it, each session is a user of its own",
    "query": "text: what was searched for; empty on a recommendation page",
    "purchase": "0 or 1 (or true, false); without it, nothing was bought",
    "dwell_seconds": "number >= 0: time spent on the product",
    "price": "number >= 0: the price that was shown",
    "policy_id": "text: which ranking made the page",
    "session_end": "left, limit or unknown, on the rows of a session's last page",
    "propensity": "number in (0, 1]: probability of this item at this position",
    "cascade_propensity": "number in (0, 1]: probability of the page from its top down to this item",
    "slate_propensity": "number in (0, 1]: probability of the whole page",
}
"""What a log may have besides, and columns `context_*`: what the shop knew of the user at the page."""

LOG_COLUMNS: dict[str, str] = REQUIRED_LOG_COLUMNS | OPTIONAL_LOG_COLUMNS
"""All canonical log columns and what they hold."""

LOG_ORDER = (
    "session_id",
    "user_id",
    "step",
    "timestamp",
    "query",
    "position",
    "item_id",
    "click",
    "purchase",
    "dwell_seconds",
    "price",
    "policy_id",
    "session_end",
    "propensity",
    "cascade_propensity",
    "slate_propensity",
)
"""Order of the columns in a canonical log; `context_*` follow."""

CANDIDATE_COLUMNS: dict[str, str] = {
    "session_id": "text: as in the log",
    "step": "whole number: as in the log",
    "rank": "whole number from 0: the place in the candidate source's order",
    "item_id": "text: a product of the catalogue",
}
"""Columns of the companion table of candidates."""

COMMON_NAMES: dict[str, tuple[str, ...]] = {
    "item_id": ("product", "sku", "article", "asin", "item", "doc"),
    "session_id": ("session", "visit"),
    "user_id": ("user", "customer", "client", "visitor"),
    "step": ("page", "impression", "request"),
    "timestamp": ("time", "date", "ts", "at"),
    "query": ("search", "term", "keyword", "q"),
    "position": ("rank", "slot", "place", "pos"),
    "click": ("click",),
    "purchase": ("order", "bought", "buy", "conversion", "sale"),
    "rank": ("position", "order"),
    "title": ("name",),
    "category": ("department", "type", "group"),
    "price": ("cost", "amount"),
}
"""Words by which shops often call a column, for suggestions only: nothing is mapped by a guess."""

CONTEXT_PREFIX = "context_"
"""Columns of the log with this prefix are what the shop knew of the user."""

SINGLE_IMPRESSION = "single_impression"
"""A column of ones marks, in a written log, that a row is one impression whose page is unknown."""

REPAIRS: dict[str, str] = {
    "sort": "put the rows of each session in order of step and position",
    "derive-steps": "number the pages of a session by its distinct timestamps and changes of query",
    "positions-from-one": "positions start at 1 in the file: count them from 0",
    "drop-duplicates": "leave out rows that repeat an earlier row in every column",
    "drop-unknown-items": "leave out pages that show (or could have shown) an item the catalogue lacks",
    "purchase-implies-click": "a purchase without a click gets its click",
    "assume-utc": "times without a time zone are UTC, where others have one",
    "to-utc": "times of several time zones are brought to UTC",
}
"""Repairs by name: none is made unless asked for, and each is counted."""
