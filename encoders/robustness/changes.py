"""Texts as people mistype, shorten, reword and stuff them; what happens to a text hangs on seed and text alone."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np

from behavior.errors import InputError

__all__ = ["Perturbation", "drop_words", "misspell", "perturb", "stuff", "swap_synonyms"]

_KEYS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_BESIDE = {
    letter: "".join(row[max(place - 1, 0) : place] + row[place + 1 : place + 2])
    for row in _KEYS
    for place, letter in enumerate(row)
}
_SHORTEST = 4  # letters of a word that gets a slip: "tv" with one letter less is another word


@dataclass(frozen=True, kw_only=True)
class Perturbation:
    """One way in which texts change."""

    name: str
    """For tables; part of the seed."""
    side: Literal["query", "item"]
    """Whose texts change: misspelling is the shoppers', stuffing the sellers'."""
    change: Callable[[str, np.random.Generator], str]
    """A text and its own generator -> the changed text."""


def perturb(texts: Sequence[str], perturbation: Perturbation, *, seed: int) -> list[str]:
    """`texts` changed; the same text always changes in the same way, whatever stands beside it.

    Args:
        texts: Any texts; empty ones stay empty.
        perturbation: What happens to each.
        seed: Of the draws.
    """
    out = []
    for text in texts:
        mark = f"{seed}\0{perturbation.name}\0{text}".encode("utf-8", "surrogatepass")
        rng = np.random.default_rng(int.from_bytes(hashlib.sha256(mark).digest()[:8], "big"))
        out.append(perturbation.change(text, rng) if text.strip() else text)
    return out


def misspell(words: int = 1) -> Perturbation:
    """One slip of the finger in each of `words` words of a query, drawn among those of four letters or more.

    A slip swaps two neighbouring letters, drops one, doubles one, or hits the key beside it, each as likely; the
    first letter stays, as it mostly does when people type.
    """
    if words < 1:
        raise InputError(f"words must be at least 1, found {words}", where="misspell(words=...)")
    return Perturbation(
        name=f"misspelling, {words} word{'s' * (words > 1)}",
        side="query",
        change=partial(_misspell_text, words=words),
    )


def drop_words(words: int = 1) -> Perturbation:
    """`words` words of a query left out; one always stays."""
    if words < 1:
        raise InputError(f"words must be at least 1, found {words}", where="drop_words(words=...)")
    return Perturbation(
        name=f"dropped, {words} word{'s' * (words > 1)}",
        side="query",
        change=partial(_drop, words=words),
    )


def swap_synonyms(synonyms: Mapping[str, Sequence[str]]) -> Perturbation:
    """Every word or phrase of a query that `synonyms` knows, replaced by one of its synonyms; longest phrases first.

    Args:
        synonyms: Word or phrase -> what people say in its place; compared in lower case, whole words only.

    Raises:
        InputError: No synonym at all.
    """
    table = {word.lower(): tuple(others) for word, others in synonyms.items() if word and others}
    if not table:
        raise InputError(
            "no synonyms were given", where="swap_synonyms", mend="a table {word: [synonym, ...]}"
        )
    longest_first = sorted(table, key=lambda word: (-len(word), word))
    pattern = re.compile(r"(?<!\w)(" + "|".join(map(re.escape, longest_first)) + r")(?!\w)", re.IGNORECASE)
    return Perturbation(name="synonyms", side="query", change=partial(_reword, table=table, pattern=pattern))


def stuff(words: Sequence[str], count: int = 8) -> Perturbation:
    """`count` distinct words that shoppers type, put at the end of an item's text by a seller who wants to be found.

    Raises:
        InputError: Fewer than `count` words.
    """
    known = tuple(dict.fromkeys(word for word in words if word.strip()))
    if not 1 <= count <= len(known):
        raise InputError(
            f"{count} words to stuff with, out of {len(known)}", where="stuff(count=...)", mend="more words"
        )
    return Perturbation(
        name=f"stuffing, {count} words", side="item", change=partial(_stuff, words=known, count=count)
    )


def _misspell_text(text: str, rng: np.random.Generator, *, words: int) -> str:
    parts = re.split(r"(\s+)", text)
    able = [n for n, part in enumerate(parts) if len(part) >= _SHORTEST and part.isalpha()]
    for n in rng.permutation(able)[:words] if able else ():
        parts[n] = _slip(parts[n], rng)
    return "".join(parts)


def _slip(word: str, rng: np.random.Generator) -> str:
    """`word` with one slip past its first letter; a slip that leaves it as it was is drawn again."""
    while True:
        at = int(rng.integers(1, len(word) - 1))
        kind = int(rng.integers(4))
        if kind == 0:
            out = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
        elif kind == 1:
            out = word[:at] + word[at + 1 :]
        elif kind == 2:
            out = word[:at] + word[at] + word[at:]
        else:
            beside = _BESIDE.get(word[at].lower(), "")
            out = word[:at] + (beside[int(rng.integers(len(beside)))] if beside else "") + word[at + 1 :]
        if out != word:
            return out


def _drop(text: str, rng: np.random.Generator, *, words: int) -> str:
    parts = text.split()
    lost = rng.permutation(len(parts))[: min(words, len(parts) - 1)]
    return " ".join(part for n, part in enumerate(parts) if n not in lost)


def _reword(
    text: str, rng: np.random.Generator, *, table: Mapping[str, tuple[str, ...]], pattern: re.Pattern[str]
) -> str:
    def other(found: re.Match[str]) -> str:
        choice = table[found.group(0).lower()]
        return choice[int(rng.integers(len(choice)))]

    return pattern.sub(other, text)


def _stuff(text: str, rng: np.random.Generator, *, words: tuple[str, ...], count: int) -> str:
    chosen = rng.choice(len(words), count, replace=False)
    return " ".join([text, *(words[n] for n in chosen)])
