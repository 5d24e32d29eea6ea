"""Files that are either whole or not there: written beside their place, then renamed into it."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from behavior.errors import InputError

__all__ = ["atomic_folder", "atomic_path", "disk_errors_named"]


@contextmanager
def disk_errors_named(path: Path) -> Iterator[None]:
    """Turn "no space left" and "not permitted" while writing `path` into an `InputError` that says what to do."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise InputError(
                "there is no room left on the disk; what was there before is untouched",
                where=str(path),
                mend="free some space, or choose another folder with --logs, then go on with --resume",
            ) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise InputError(
                "this place cannot be written to",
                where=str(path),
                mend="choose another folder, or mend its rights",
            ) from error
        raise


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path of the same suffix in the same folder, renamed to `path` when the block ends well.

    Raises:
        InputError: The disk is full, or the folder cannot be written to.
    """
    with disk_errors_named(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=path.suffix)
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            temporary.chmod(0o644)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """A temporary folder that becomes `path` (replacing an older one) when the block ends well."""
    with disk_errors_named(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}-"))
        try:
            yield temporary
            temporary.chmod(0o755)
            if path.exists():
                old = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}-old-"))
                path.rename(old / path.name)
                temporary.rename(path)
                shutil.rmtree(old)
            else:
                temporary.rename(path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
