"""Where files go, and how: whole or not at all, written beside their place and then renamed into it."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from behavior.errors import InputError

__all__ = ["atomic_folder", "atomic_path", "cache_home", "disk_errors_named", "refuse_existing"]


def cache_home() -> Path:
    """The folder of everything kept for next time: `$SLATEGYM_CACHE`, or `~/.cache/slategym`."""
    home = os.environ.get("SLATEGYM_CACHE")
    return Path(home).expanduser() if home else Path.home() / ".cache" / "slategym"


def refuse_existing(path: Path) -> None:
    """Raise an `InputError` where there is something at `path` already: nothing of the user's is overwritten."""
    if path.exists():
        raise InputError(
            "this is there already, and is not overwritten", where=str(path), mend="another name"
        )


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
        if error.errno == errno.ENAMETOOLONG:
            raise InputError(
                "this name is longer than the disk takes", where=str(path), mend="choose a shorter one"
            ) from error
        raise


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise InputError(
            "a file stands where a folder is needed", where=str(folder), mend="choose another place"
        ) from error
    except FileNotFoundError as error:  # a place that takes no folders, such as /proc
        raise InputError(
            "no folder can be made here", where=str(folder), mend="choose another folder"
        ) from error


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path of the same suffix in the same folder, renamed to `path` when the block ends well.

    Raises:
        InputError: The disk is full, or the folder cannot be made or written to.
    """
    with disk_errors_named(path):
        _make_folder(path.parent)
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
        _make_folder(path.parent)
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
