"""The folder of a run: made once, never overwritten, resumable after a kill at any moment."""

from __future__ import annotations

import fcntl
import json
import os
import platform
import re
import shlex
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from behavior.errors import InputError
from behavior.files import atomic_path, disk_errors_named
from pipeline.config import TrainConfig
from pipeline.config_file import differences, read_config, write_config
from pipeline.ticker import Ticker

__all__ = ["STAGES", "RunFolder", "StageLine"]

STAGES = (
    "data",
    "relevance",
    "simulators",
    "environment",
    "training",
    "judgement",
    "off-policy",
    "agreement",
    "report",
)
"""The way of the data, in order."""

_MAY_CHANGE = (
    *(f"run.{name}:" for name in ("name", "logs", "device", "threads", "quiet")),  # not the seed
    *(f"judge.{name}:" for name in ("eval_users", "planner_users", "planner_rollouts", "planner_practice")),
    *(f"judge.{name}:" for name in ("explained_users", "explained_rollouts", "agreement")),
    *(f"learner.{name}:" for name in ("steps", "evaluate_every", "checkpoint_every", "learning_rate")),
)
"""Settings that may differ when a run is resumed: they do not change what has been learned so far, nor by whom the
best policy is chosen."""

_HALF_WRITTEN = re.compile(r"\..+-[a-z0-9_]{8}(\.\w+)?")
"""Names of temporary files and folders, as `behavior.files` chooses them."""

_PACKAGES = (
    "gymnasium",
    "numpy",
    "numba",
    "pandas",
    "stable-baselines3",
    "tensorboard",
    "torch",
    "transformers",
)


class StageLine:
    """The line of a stage: what the stage wants to say when it is done."""

    def __init__(self) -> None:
        self.summary = ""

    def say(self, summary: str) -> None:
        """Set the text of the line."""
        self.summary = summary


class RunFolder:
    """`logs/<run>/`, locked by this process.

    Use `create` or `resume`; both raise `InputError` for a user's mistake.
    """

    def __init__(self, path: Path, record: dict[str, Any], *, fresh: bool = False) -> None:
        self.path = path
        self._record = record
        self._fresh = fresh
        self.after_stage: Callable[[], None] = lambda: None
        """Called when a stage has been noted; may raise to stop here."""
        with disk_errors_named(path):
            self._lock = (path / ".lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._lock.close()
            raise InputError(
                "another process is working on this run",
                where=str(path),
                mend="wait for it, or start a run of your own with another --name",
            ) from None

    @classmethod
    def create(cls, config: TrainConfig, argv: Sequence[str]) -> RunFolder:
        """Make the folder of a new run; an existing one is refused, never overwritten."""
        name = config.run.name or "-".join(
            [
                Path(config.source.data).stem,
                config.learner.agent,
                f"s{config.run.seed}",
                datetime.now().strftime("%Y%m%d-%H%M%S"),
            ]
        )
        path = config.run.logs / name
        with disk_errors_named(path):
            try:
                path.mkdir(parents=True)
            except FileExistsError:
                raise InputError(
                    "this run folder exists already, and is left as it is",
                    where=str(path),
                    mend=f"choose another --name, or go on with it: python train.py --resume {path}",
                ) from None
            except NotADirectoryError:
                raise InputError(
                    f"{config.run.logs} is a file, not a folder", where="--logs", mend="name a folder"
                ) from None
            except FileNotFoundError:  # a place that takes no folders, such as /proc
                raise InputError(
                    f"no folder can be made at {config.run.logs}", where="--logs", mend="name another folder"
                ) from None
        with atomic_path(path / "command.txt") as temporary:
            temporary.write_text(shlex.join(["python", "train.py", *argv]) + "\n", encoding="utf-8")
        with atomic_path(path / "config.yaml") as temporary:
            write_config(config, temporary, named=path / "config.yaml")
        folder = cls(
            path,
            {
                "started": datetime.now().astimezone().isoformat(timespec="seconds"),
                "machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}",
                "versions": {"python": platform.python_version()}
                | {package: metadata.version(package) for package in _PACKAGES},
                "stages": {},
            },
            fresh=True,
        )
        folder._save()
        return folder

    @classmethod
    def resume(cls, path: Path, config: TrainConfig) -> RunFolder:
        """Go on with the run in `path`; settings that would change what has been learned are refused."""
        before = read_config(path / "config.yaml")
        changed = [d for d in differences(before, config) if not d.startswith(_MAY_CHANGE)]
        if changed:
            raise InputError(
                "this run was started with another configuration: " + "; ".join(changed),
                where=str(path),
                mend="resume it without these options, or start a new run with them",
            )
        try:
            record = json.loads((path / "run.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            record = {"stages": {}}
        folder = cls(path, record)
        folder._sweep()
        if config != before:  # such as more steps: the file says what the run is now
            with atomic_path(path / "config.yaml") as temporary:
                write_config(config, temporary, named=path / "config.yaml")
        return folder

    @contextmanager
    def stage(self, name: str) -> Iterator[StageLine]:
        """Time a stage, print its line when it is done, and note it in `run.json`."""
        line = StageLine()
        number = STAGES.index(name) + 1
        start = time.perf_counter()
        with Ticker(f"[{number}/{len(STAGES)}] {name}"):
            yield line
        seconds = time.perf_counter() - start
        print(f"[{number}/{len(STAGES)}] {name:11s} {line.summary}  ({seconds:.1f} s)", flush=True)
        self._record["stages"][name] = {"seconds": round(seconds, 2), "summary": line.summary}
        self._save()
        self.after_stage()

    def note(self, key: str, value: Any) -> None:
        """Keep a fact about the run in `run.json`."""
        self._record[key] = value
        self._save()

    @property
    def record(self) -> dict[str, Any]:
        """What `run.json` holds."""
        return self._record

    @property
    def command(self) -> str:
        """The command that started the run."""
        return (self.path / "command.txt").read_text(encoding="utf-8").strip()

    def discard_if_empty(self) -> bool:
        """Take the folder away again where it was made just now and holds no work; whether it was taken away.

        A mistake in the options leaves nothing behind, and the name free for the next try.
        """
        ours = {"command.txt", "config.yaml", "run.json", ".lock"}
        found = {p.name for p in self.path.rglob("*") if not p.is_dir()}
        if not self._fresh or not found <= ours:
            return False
        shutil.rmtree(self.path)
        return True

    def close(self) -> None:
        """Give the lock back."""
        self._lock.close()

    def _sweep(self) -> None:
        """Take away what a process that was killed had half written; nobody else writes here, the lock is ours."""
        for leftover in [path for path in self.path.rglob(".*") if _HALF_WRITTEN.fullmatch(path.name)]:
            if leftover.is_dir():
                shutil.rmtree(leftover, ignore_errors=True)
            else:
                leftover.unlink(missing_ok=True)

    def _save(self) -> None:
        with atomic_path(self.path / "run.json") as temporary:
            temporary.write_text(json.dumps(self._record, indent=1) + "\n", encoding="utf-8")
