"""A text encoder without a network: a vector for every word piece, added up. Thousands of texts a second.

What such a table knows it has from a BERT (`encoders.distillation`), whose space it shares: vectors of the two can
be compared with each other.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from behavior.errors import InputError
from behavior.files import atomic_folder

__all__ = ["StaticEncoder"]

_CHUNK = 512  # texts looked up at once: 512 texts of 20 pieces of width 384 are 16 MB


class StaticEncoder:
    """The sum of the vectors of a text's word pieces, unit length.

    Args:
        table: (V, D) a vector for every piece of the tokenizer's vocabulary, its weight folded in.
        tokenizer: A fast tokenizer of the Hugging Face library.
        max_length: Texts are cut after this many pieces.

    Raises:
        InputError: A table that does not fit the tokenizer.
    """

    def __init__(self, table: NDArray[np.floating[Any]], tokenizer: Any, *, max_length: int = 64) -> None:
        if table.ndim != 2 or table.shape[0] != len(tokenizer):
            raise InputError(
                f"a table of shape {table.shape} for a vocabulary of {len(tokenizer)}",
                where="StaticEncoder(table=...)",
                mend="one row for every piece of the tokenizer",
            )
        self.table = np.ascontiguousarray(table, np.float16)
        self.tokenizer = tokenizer
        self.max_length = max_length
        self._fingerprint: str | None = None

    @property
    def width(self) -> int:
        """Length `D` of a vector."""
        return int(self.table.shape[1])

    @property
    def fingerprint(self) -> str:
        """Digest of table, vocabulary and maximum length; equal before saving and after loading."""
        if self._fingerprint is None:
            digest = hashlib.sha256(f"static-{self.max_length}".encode())
            digest.update(self.table.tobytes())
            for piece, number in sorted(self.tokenizer.get_vocab().items(), key=lambda pair: pair[1]):
                digest.update(f"{piece}\0{number}\n".encode())
            self._fingerprint = f"static-{digest.hexdigest()[:24]}"
        return self._fingerprint

    @property
    def pieces(self) -> tuple[str, ...]:
        """The dictionary of the tokeniser, in no order."""
        return tuple(self.tokenizer.get_vocab())

    def numbers(self, texts: Sequence[str]) -> list[list[int]]:
        """Numbers of the word pieces of each text, the marks of beginning and end among them: never none."""
        # The list of Python's own strings: the tokenizer's Rust code refuses lone surrogates.
        clean = [text.encode("utf-8", "replace").decode("utf-8") for text in texts]
        found: list[list[int]] = self.tokenizer(clean, truncation=True, max_length=self.max_length)[
            "input_ids"
        ]
        return found

    def encode(self, texts: Sequence[str], *, progress: bool = True) -> NDArray[np.float32]:
        """Unit vectors of `texts`, shape (n, D)."""
        out = np.zeros((len(texts), self.width), np.float32)
        for start in range(0, len(texts), _CHUNK):
            pieces = self.numbers(texts[start : start + _CHUNK])
            lengths = np.array([len(numbers) for numbers in pieces])
            ends = np.cumsum(lengths)
            rows = self.table[np.concatenate([np.array(p) for p in pieces])].astype(np.float32)
            out[start : start + len(pieces)] = np.add.reduceat(rows, ends - lengths, axis=0)
        norm = np.linalg.norm(out, axis=1)
        out[norm == 0.0, 0] = norm[norm == 0.0] = 1.0  # pieces that cancel to the last bit
        return np.asarray(out / norm[:, None], np.float32)

    def save(self, folder: Path | str) -> None:
        """Write table and tokenizer to `folder`; it appears whole or not at all."""
        from safetensors.numpy import save_file

        with atomic_folder(Path(folder)) as target:
            save_file({"table": self.table}, target / "table.safetensors")
            self.tokenizer.save_pretrained(target / "tokenizer")
            described = {"format": 1, "max_length": self.max_length}
            (target / "static.json").write_text(json.dumps(described) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path | str) -> StaticEncoder:
        """Read what `save` wrote.

        Raises:
            InputError: The folder is missing, damaged, or of an unknown format.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load_file
        from transformers import AutoTokenizer

        folder = Path(folder)
        try:
            described = json.loads((folder / "static.json").read_text(encoding="utf-8"))
            if described["format"] != 1:
                raise InputError(
                    f"static encoder of format {described['format']}, expected 1", where=str(folder)
                )
            table = load_file(folder / "table.safetensors")["table"]
            tokenizer = AutoTokenizer.from_pretrained(str(folder / "tokenizer"), local_files_only=True)
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            raise InputError(
                f"no readable static encoder: {type(error).__name__}: {error}",
                where=str(folder),
                mend="give the folder that `python -m encoders distil` wrote, or distil again",
            ) from error
        return cls(table, tokenizer, max_length=int(described["max_length"]))
