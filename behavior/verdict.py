"""What a log supports and what it does not, each with its reason: said before anything is fitted to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from behavior.summary import LogSummary

__all__ = ["verdict"]

FEW_CLICKS = 200
"""Fewer clicks than this leave every interval wide."""

FEW_PURCHASES = 50
"""Likewise for purchases."""

FEW_SESSIONS = 100
"""Fewer sessions than this leave little to hold out."""

FEW_MOVED = 0.05
"""Below this share of rows with an item that stood at several positions, place and item can hardly be told apart."""

LITTLE_OVERLAP = 0.01
"""Below this effective share of rows, an off-policy estimate rests on a handful of them."""

LONG_SESSION = 1000
"""A visit of more pages than this is no person's."""


def verdict(log: LogSummary) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What the log supports, and what it does not and why.

    Args:
        log: Its counts; `supports` and `lacks` are not read.
    """
    yes: list[str] = []
    no: list[str] = []
    if _clicks_vary(log, no):
        _click_models(log, yes, no)
    _sessions(log, yes, no)
    _purchases(log, yes, no)
    _off_policy(log, yes, no)
    _time(log, yes, no)
    if 0 < log.clicks < FEW_CLICKS:
        no.append(f"narrow intervals: there are {log.clicks} clicks only")
    return tuple(yes), tuple(no)


def _clicks_vary(log: LogSummary, no: list[str]) -> bool:
    if log.clicks == 0:
        no.append("any click model: nothing was clicked")
    elif log.clicks == log.n_rows:
        no.append("any click model: every row is a click, so what was shown and passed over is unknown")
    else:
        return True
    return False


def _click_models(log: LogSummary, yes: list[str], no: list[str]) -> None:
    if log.n_items == 1:
        no.append("what makes an item attractive: a single item was shown")
    else:
        few = (
            f", though {log.tail_items:.0%} of them were shown fewer than 10 times"
            if log.tail_items > 0.5
            else ""
        )
        yes.append(f"click rates by item: {log.n_items:,} items were shown{few}")
    if log.n_positions == 1:
        place = log.by_position[0].position
        no.append(
            f"a position-based click model, or any effect of the place: all rows stand at position {place}"
        )
        if not log.single_impressions:
            no.append("a cascade click model: pages have one item")
        return
    yes.append("a position-based click model")
    moved = f"{log.overlap.moved_rows:.0%} of the rows show an item that stood at several positions"
    if log.overlap.moved_rows >= FEW_MOVED:
        yes.append(f"place told apart from item: {moved}")
    else:
        no.append(f"place told apart from item: only {moved}")
    if log.single_impressions:
        no.append("a cascade click model: the other positions of each page are unknown")
    else:
        yes.append("a cascade click model: whole pages are known")


def _sessions(log: LogSummary, yes: list[str], no: list[str]) -> None:
    if log.longest_session == 1:
        why = (
            "impressions cannot be joined into sessions"
            if log.single_impressions
            else "every session has one page"
        )
        no.append(f"session dynamics: {why}")
    elif log.single_impressions:
        yes.append("lengths of visits and the order of items in them: visits have several steps")
        no.append("session dynamics of pages: what else each page showed is unknown")
    else:
        yes.append("session dynamics: sessions have several pages")
    if log.longest_session > LONG_SESSION:
        no.append(
            f"visits as they are: the longest has {log.longest_session:,} steps, which no person makes in one visit; "
            "part it, or leave it out"
        )
    if log.ends_known:
        yes.append(f"a leaving model: it is known how {log.ends_known:.0%} of the sessions ended")
    else:
        no.append(
            "a sure leaving model: it is unknown how sessions ended, the last page is taken for leaving"
        )
    if log.returning_users:
        yes.append(f"returns: {log.returning_users:.0%} of the users have several sessions")
    else:
        no.append("returns: no user has more than one session")
    if log.n_sessions < FEW_SESSIONS:
        no.append(f"a judgement on held-out sessions: there are {log.n_sessions} only")


def _purchases(log: LogSummary, yes: list[str], no: list[str]) -> None:
    if not log.purchases:
        no.append("a purchase model: nothing was bought")
    elif log.purchases == log.clicks:
        no.append("conversion after a click: every click is a purchase, so other clicks are unknown")
    elif log.purchases < FEW_PURCHASES:
        yes.append(f"a purchase model, roughly: there are {log.purchases} purchases only")
    else:
        yes.append("a purchase model")


def _off_policy(log: LogSummary, yes: list[str], no: list[str]) -> None:
    facts = log.overlap.propensities
    if not facts:
        no.append("off-policy estimates: no propensities were logged")
    for name, what in (
        ("propensity", "by item and position"),
        ("cascade_propensity", "of whole pages, from the top down"),
        ("slate_propensity", "of whole pages"),
    ):
        if name not in facts:
            continue
        fact = facts[name]
        if fact.certain == 1:
            no.append(f"off-policy estimates {what}: every {name} is 1, the policy left nothing to chance")
        elif fact.even_weight < LITTLE_OVERLAP:
            no.append(
                f"off-policy estimates {what} for a policy unlike the logged one: the smallest {name} is "
                f"{fact.smallest:.1e}, and an even policy would rest on {fact.even_weight:.1%} of the rows"
            )
        else:
            yes.append(
                f"off-policy estimates {what}: {name} is known for {fact.known:.0%} of the rows, an even policy rests "
                f"on {fact.even_weight:.0%} of them"
            )
    if not log.candidates_per_step:
        no.append("the candidates of each page: overlap with a new policy is judged on shown items only")


def _time(log: LogSummary, yes: list[str], no: list[str]) -> None:
    if log.pauses.days == 0:
        no.append("a split in time: all rows carry the same time")
    elif log.pauses.empty_days:
        no.append(
            f"an unbroken stretch of time: {log.pauses.empty_days:,} days between the first and the last row are "
            "empty, so what is held out may lie in another season"
        )
    if log.n_queries:
        yes.append(f"relevance to queries: {log.n_queries:,} of them")
    else:
        no.append("relevance to queries: there are none, all pages are recommendation pages")
