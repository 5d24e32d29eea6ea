"""A text encoder out of an ONNX file, run by onnxruntime: no torch, and int8 where it was exported so."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from behavior.errors import InputError
from encoders.batching import encode_in_batches, readable

__all__ = ["FORMAT", "MODEL_FILE", "NOTE_FILE", "TOKENISER_FILE", "OnnxEncoder", "require"]

FORMAT = "slategym-onnx-1"
MODEL_FILE, TOKENISER_FILE, NOTE_FILE = "encoder.onnx", "tokenizer.json", "onnx.json"


class OnnxEncoder:
    """A `TextEncoder` that `encoders.exporting.export_onnx` wrote.

    Args:
        folder: Where it stands.
        threads: Threads of onnxruntime.
        batch_size: Texts per run at most; small ones stay in the processor's cache.

    Raises:
        InputError: No such model, a damaged one, files that do not belong together, or no onnxruntime.
    """

    def __init__(self, folder: Path | str, *, threads: int = 1, batch_size: int = 16) -> None:
        require("onnxruntime", "to run an exported encoder")
        self.folder = Path(folder)
        note = _note(self.folder)
        self.max_length, self.precision = int(note["max_length"]), str(note["precision"])
        self.batch_size = batch_size
        self._width, self._pad = int(note["width"]), int(note["pad"])
        self._check_files(note)
        files = "".join(note["sha256"][name] for name in (MODEL_FILE, TOKENISER_FILE))
        self._fingerprint = f"onnx-{hashlib.sha256(files.encode()).hexdigest()[:24]}-{self.max_length}"
        self._session, self._tokenizer = self._open(threads)
        words = self._tokenizer.get_vocab_size()
        if words > int(note["vocabulary"]):
            raise InputError(
                f"the tokeniser knows {words:,} word pieces, the model has vectors for {note['vocabulary']:,}: "
                "they do not match",
                where=str(self.folder),
                mend="export the encoder again",
            )
        self._tokenizer.enable_truncation(self.max_length)
        self._tokenizer.no_padding()

    def _check_files(self, note: dict[str, Any]) -> None:
        for name in (MODEL_FILE, TOKENISER_FILE):
            path = self.folder / name
            if not path.is_file():
                raise InputError(
                    f"{name} is missing", where=str(self.folder), mend="export the encoder again"
                )
            with path.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
            if found != note["sha256"][name]:
                raise InputError(
                    f"{name} is damaged or from another export: its digest is not the one that onnx.json names",
                    where=str(path),
                    mend="export the encoder again",
                )

    def _open(self, threads: int) -> tuple[Any, Any]:
        import onnxruntime
        from tokenizers import Tokenizer

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # Threads that wait in a loop would take the processor from everything else.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        session = onnxruntime.InferenceSession(
            str(self.folder / MODEL_FILE), options, providers=["CPUExecutionProvider"]
        )
        return session, Tokenizer.from_file(str(self.folder / TOKENISER_FILE))

    @property
    def width(self) -> int:
        """Length `D` of a vector."""
        return self._width

    @property
    def pieces(self) -> tuple[str, ...]:
        """The dictionary of the tokeniser, in no order."""
        return tuple(self._tokenizer.get_vocab())

    @property
    def fingerprint(self) -> str:
        """Digest of the model and tokeniser files, which decide the vectors, and the maximum length."""
        return self._fingerprint

    def encode(self, texts: Sequence[str], *, progress: bool = True) -> NDArray[np.float32]:
        """Unit vectors of `texts`, shape (n, D); see `encode_in_batches`."""
        if not len(texts):
            return np.zeros((0, self.width), np.float32)
        found = self._tokenizer.encode_batch(readable(texts, self.max_length))
        return encode_in_batches(
            [entry.ids for entry in found],
            self._run,
            width=self.width,
            batch_size=self.batch_size,
            pad=self._pad,
            progress=progress,
        )

    def _run(self, ids: NDArray[np.int64], mask: NDArray[np.int64]) -> NDArray[np.float32]:
        (vectors,) = self._session.run(None, {"input_ids": ids, "attention_mask": mask})
        return np.asarray(vectors, np.float32)

    def save(self, folder: Path) -> None:
        """Copy the files; `OnnxEncoder(folder)` reads them back."""
        folder.mkdir(parents=True, exist_ok=True)
        for name in (MODEL_FILE, TOKENISER_FILE, NOTE_FILE):
            shutil.copyfile(self.folder / name, folder / name)


def require(module: str, purpose: str) -> None:
    """Raise an `InputError` where a library of the extra `export` is not installed."""
    if importlib.util.find_spec(module) is None:
        raise InputError(
            f"the library {module} is needed {purpose}",
            where="encoders.exporting",
            mend="pip install -e '.[export]'",
        )


def _note(folder: Path) -> dict[str, Any]:
    try:
        note: dict[str, Any] = json.loads((folder / NOTE_FILE).read_text(encoding="utf-8"))
        missing = {"format", "max_length", "precision", "width", "pad", "vocabulary", "sha256"} - set(note)
        if missing or note["format"] != FORMAT:
            raise ValueError(f"not of format {FORMAT}")
    except (OSError, ValueError, TypeError) as error:
        raise InputError(
            f"no exported encoder: {type(error).__name__}: {error}",
            where=str(folder),
            mend="give the folder that `python -m encoders export --form onnx` wrote",
        ) from error
    return note
