from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from behavior.errors import InputError
from behavior.files import atomic_folder, atomic_path, cache_home, refuse_existing

ROOT = Path(__file__).resolve().parents[2]


def test_the_cache_lies_where_the_environment_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SLATEGYM_CACHE", str(tmp_path))
    assert cache_home() == tmp_path
    monkeypatch.setenv("SLATEGYM_CACHE", "~/elsewhere")
    assert cache_home() == Path.home() / "elsewhere"
    monkeypatch.delenv("SLATEGYM_CACHE")
    assert cache_home() == Path.home() / ".cache" / "slategym"


def test_the_kernel_cache_is_set_before_numba_is_there() -> None:
    code = (
        "import os, sys; import simulators.numba_setup as s; from behavior.files import cache_home; "
        "assert not {'numba', 'numpy', 'torch'} & set(sys.modules); "
        "assert os.environ['NUMBA_CACHE_DIR'] == str(cache_home() / 'numba' / s.kernel_digest())"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_what_is_there_is_refused(tmp_path: Path) -> None:
    refuse_existing(tmp_path / "new")
    with pytest.raises(InputError, match="not overwritten"):
        refuse_existing(tmp_path)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "kept.txt"
    path.write_text("old")

    def fail() -> None:
        with atomic_path(path) as temporary:
            temporary.write_text("half")
            raise ValueError("in the middle")

    with pytest.raises(ValueError, match="middle"):
        fail()
    assert [p.name for p in tmp_path.iterdir()] == ["kept.txt"]
    assert path.read_text() == "old"
    with atomic_path(path) as temporary:
        temporary.write_text("new")
    assert [p.name for p in tmp_path.iterdir()] == ["kept.txt"]
    assert path.read_text() == "new"


def test_a_file_where_a_folder_is_needed_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file" / "a.txt", tmp_path / "file" / "deeper" / "a.txt"):
        for write in (atomic_path, atomic_folder):
            with pytest.raises(InputError, match="a file stands where a folder is needed"), write(path):
                pass


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs a place that takes no folders")
def test_a_place_that_takes_no_folders() -> None:
    with pytest.raises(InputError, match="no folder can be made here"), atomic_path(Path("/proc/x/y.txt")):
        pass
