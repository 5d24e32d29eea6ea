"""The contract suite of a `TextEncoder`; a plug-in's author runs the same suite on their own class."""

from __future__ import annotations

import numpy as np

from encoders.text import TextEncoder

__all__ = ["CONTRACT_TEXTS", "check_text_encoder"]

CONTRACT_TEXTS = (
    "red leather wallet",
    "Brandt Oak Dining Table, 160 cm, Natural",
    "",
    "   ",
    "🎁 подарок 送り物 cadeau für dich",
    "zxqv zxqv",
    "a",
    "running shoes " * 500,
    "tab\tand\nnew line \u200b\u0000 control",
)


def check_text_encoder(encoder: TextEncoder, *, tolerance: float = 1e-4) -> None:
    """Raise an `AssertionError` that says what to mend, if `encoder` breaks the contract.

    Args:
        encoder: The encoder to check.
        tolerance: Largest difference allowed between a text's vector alone and in a batch (padding and the order
            of summation move the last bits of a network's output).
    """
    name = type(encoder).__name__
    texts = list(CONTRACT_TEXTS)
    assert isinstance(encoder.width, int), (
        f"{name}.width must be an int, found {type(encoder.width).__name__}"
    )
    assert encoder.width >= 1, f"{name}.width must be positive, found {encoder.width}"
    assert isinstance(encoder.fingerprint, str), f"{name}.fingerprint must be a str"
    assert encoder.fingerprint, f"{name}.fingerprint must not be empty: the caches are keyed by it"
    assert encoder.fingerprint == encoder.fingerprint, f"{name}.fingerprint must not change by being read"
    vectors = encoder.encode(texts, progress=False)
    expected = (len(texts), encoder.width)
    assert vectors.shape == expected, f"{name}.encode gave shape {vectors.shape}, expected {expected}"
    assert vectors.dtype == np.float32, f"{name}.encode gave {vectors.dtype}, expected float32"
    assert np.isfinite(vectors).all(), f"{name}.encode gave nan or infinite values"
    for text, length in zip(texts, np.linalg.norm(vectors, axis=1), strict=True):
        assert abs(length - 1.0) < 1e-3, f"{name}.encode({text[:30]!r}) has length {length:.4f}, expected 1"
    again = encoder.encode(texts, progress=False)
    assert np.array_equal(vectors, again), (
        f"{name}.encode gave other vectors the second time (dropout still on?)"
    )
    for row, text in enumerate(texts):
        alone = encoder.encode([text], progress=False)[0]
        gap = float(np.abs(alone - vectors[row]).max())
        assert gap <= tolerance, f"{name}.encode({text[:30]!r}) differs by {gap:.2g} alone and in a batch"
    backwards = encoder.encode(texts[::-1], progress=False)[::-1]
    gap = float(np.abs(backwards - vectors).max())
    assert gap <= tolerance, f"{name}.encode differs by {gap:.2g} when the order of the texts is turned round"
    none = encoder.encode([], progress=False)
    assert none.shape == (0, encoder.width), f"{name}.encode([]) gave shape {none.shape}"
    assert none.dtype == np.float32, f"{name}.encode([]) gave {none.dtype}"
    different = float(np.abs(vectors[0] - vectors[1]).max())
    assert different > 1e-3, f"{name}.encode gives the same vector to different texts"
