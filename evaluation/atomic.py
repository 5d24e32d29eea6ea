"""Files that are either whole or not there."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from behavior.errors import InputError

__all__ = ["write_text"]


def write_text(path: Path, text: str) -> None:
    """Writes `text` beside `path` and moves it there in one step.

    Raises:
        InputError: The folder is missing, not writable, or the disk is full.
    """
    temporary = None
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        umask = os.umask(0)
        os.umask(umask)
        Path(temporary).chmod(0o666 & ~umask)
        Path(temporary).replace(path)
    except OSError as error:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        raise InputError(
            f"cannot write the file: {error.strerror}",
            where=str(path),
            mend="Choose a folder that exists, can be written to and has room.",
        ) from error
