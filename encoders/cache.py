"""Embeddings kept on disk, addressed by content: the model's fingerprint and the text itself.

A folder per model holds immutable shards (`.npz` with the keys and the vectors of one chunk of texts). A shard is
written beside its place and renamed into it, so readers never see half a file and two writers of the same chunk
write the same bytes; a writer that is killed leaves at most a file that nobody reads. Zip checksums find damage; a
damaged shard is reported, removed and computed again. Where the shards of all models together outgrow the bound, those
unused for longest go first.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
import warnings
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from behavior.errors import InputError
from behavior.files import cache_home
from encoders.storage import write_npz
from encoders.text import TextEncoder

__all__ = ["EmbeddingCache", "encode_cached"]

_CHUNK = 2048  # texts per shard: an interrupted run loses at most this much work
_MIB = 2**20
_DEFAULT_MIB = 4096
_BOUND = "SLATEGYM_EMBEDDINGS_MIB"
_STALE = 3600.0  # seconds after which an unfinished file is that of a writer that was killed


class EmbeddingCache:
    """Vectors of texts that were encoded before.

    Args:
        folder: Where the shards live; by default `$SLATEGYM_CACHE/embeddings` or `~/.cache/slategym/embeddings`.
        max_mib: Room on disk for the vectors of all models, in MiB; `$SLATEGYM_EMBEDDINGS_MIB`, or 4096, by default.

    Raises:
        InputError: A bound that is no positive number.
    """

    def __init__(self, folder: Path | str | None = None, *, max_mib: float | None = None) -> None:
        self.folder = Path(folder).expanduser() if folder is not None else cache_home() / "embeddings"
        self.max_bytes = int(_bound(max_mib) * _MIB)

    def _home(self, fingerprint: str) -> Path:
        return self.folder / hashlib.sha256(fingerprint.encode()).hexdigest()[:24]

    def get(
        self, fingerprint: str, texts: Sequence[str], width: int
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Vectors (n, D) and which of them were found (n,); the others are zero."""
        out = np.zeros((len(texts), width), np.float32)
        found = np.zeros(len(texts), np.bool_)
        wanted: dict[bytes, list[int]] = {}
        for row, text in enumerate(texts):
            wanted.setdefault(_key(fingerprint, text), []).append(row)
        # Names that begin with a dot are files still being written.
        for shard in sorted(self._home(fingerprint).glob("[!.]*.npz")):
            if not wanted:
                break
            loaded = self._read(shard, wanted, width)
            if loaded is None:
                continue
            _touch(shard)
            keys, vectors = loaded
            for key, vector in zip(keys, vectors, strict=True):
                rows = wanted.pop(key, None)
                if rows is not None:
                    out[rows] = vector
                    found[rows] = True
        return out, found

    def _read(
        self, shard: Path, wanted: dict[bytes, list[int]], width: int
    ) -> tuple[list[bytes], NDArray[np.float32]] | None:
        try:
            # Opened here: np.load leaves a damaged file open.
            with shard.open("rb") as raw, np.load(raw, allow_pickle=False) as data:
                keys = [row.tobytes() for row in data["keys"]]
                if not any(key in wanted for key in keys):
                    return None
                vectors = data["vectors"]
            if vectors.shape != (len(keys), width) or not np.isfinite(vectors).all():
                raise ValueError(f"vectors of shape {vectors.shape}, expected {(len(keys), width)}, finite")
        except FileNotFoundError:  # another process removed it as damaged
            return None
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            warnings.warn(
                f"damaged embedding cache entry {shard} ({error}); not used, its texts are encoded again",
                UserWarning,
                stacklevel=4,
            )
            with contextlib.suppress(OSError):  # a disk that is read-only keeps it
                shard.unlink()
            return None
        return keys, vectors

    def put(self, fingerprint: str, texts: Sequence[str], vectors: NDArray[np.float32]) -> None:
        """Keep the vectors (n, D) of `texts`."""
        if not texts:
            return
        keys = [_key(fingerprint, text) for text in texts]
        name = hashlib.sha256(b"".join(keys)).hexdigest()[:32]
        table = np.frombuffer(b"".join(keys), np.uint8).reshape(len(keys), 32)
        write_npz(
            self._home(fingerprint) / f"{name}.npz", {"keys": table, "vectors": vectors.astype(np.float32)}
        )
        self.evict()

    def evict(self) -> int:
        """Remove the shards unused for longest, down to nine tenths of the bound once it is passed; how many went.

        A process that reads a shard while it goes keeps what it opened, or finds nothing and encodes again.
        """
        shards: list[tuple[float, int, Path]] = []
        for path in self.folder.glob("*/*.npz"):
            try:
                state = path.stat()
            except FileNotFoundError:
                continue
            if not path.name.startswith("."):
                shards.append((state.st_mtime, state.st_size, path))
            elif time.time() - state.st_mtime > _STALE:
                path.unlink(missing_ok=True)
        total, removed = sum(size for _, size, _ in shards), 0
        if total > self.max_bytes:
            for _, size, path in sorted(shards, key=lambda entry: entry[0]):
                if total <= 0.9 * self.max_bytes:
                    break
                path.unlink(missing_ok=True)
                total, removed = total - size, removed + 1
        return removed


def _touch(shard: Path) -> None:
    """Note the use of a shard: its time of modification is what eviction goes by."""
    try:
        os.utime(shard)
    except OSError:  # gone, or on a disk that is read-only: then nothing is evicted either
        return


def _bound(max_mib: float | None) -> float:
    given = os.environ.get(_BOUND, str(_DEFAULT_MIB)) if max_mib is None else str(max_mib)
    try:
        found = float(given)
    except ValueError:
        found = 0.0
    if not 0.0 < found < float("inf"):
        raise InputError(
            f"the room for embeddings is a positive number of MiB, found {given!r}",
            where=f"${_BOUND}" if max_mib is None else "EmbeddingCache(max_mib=...)",
        )
    return found


def _key(fingerprint: str, text: str) -> bytes:
    digest = hashlib.sha256(fingerprint.encode())
    digest.update(b"\0")
    digest.update(text.encode("utf-8", "surrogatepass"))
    return digest.digest()


def encode_cached(
    encoder: TextEncoder, texts: Sequence[str], cache: EmbeddingCache | None, *, progress: bool = True
) -> NDArray[np.float32]:
    """Vectors of `texts` (n, D); each distinct text that the cache lacks is encoded once and kept.

    A cache that cannot be written (a full or read-only disk) costs a warning, not the run.
    """
    distinct = list(dict.fromkeys(texts))
    place = {text: row for row, text in enumerate(distinct)}
    if cache is None:
        vectors = encoder.encode(distinct, progress=progress)
    else:
        vectors, found = cache.get(encoder.fingerprint, distinct, encoder.width)
        missing: list[int] = np.flatnonzero(~found).tolist()
        # Sorted by length before cutting into chunks, so that an encoder's batches need little padding.
        missing.sort(key=lambda row: (len(distinct[row]), distinct[row]))
        for start in range(0, len(missing), _CHUNK):
            rows = missing[start : start + _CHUNK]
            chunk = [distinct[row] for row in rows]
            vectors[rows] = encoder.encode(chunk, progress=progress)
            try:
                cache.put(encoder.fingerprint, chunk, vectors[rows])
            except (InputError, OSError) as error:
                warnings.warn(
                    f"the embedding cache cannot be written, so these texts will be encoded again: {error}",
                    UserWarning,
                    stacklevel=2,
                )
    return vectors[np.array([place[text] for text in texts], np.int64)] if texts else vectors
