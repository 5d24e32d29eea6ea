"""User-steps a second that arrive on a GPU from all cores, beside cores x the rate of one core on this machine.

`python -m benchmarks.device [--quick] [--json FILE] [--device cuda|cpu] [--users 4096 65536]`. The core writes its
observations straight into page-locked memory, and a stream of its own copies each step's block to the device while all
cores compute the next step. Slates are drawn beforehand. The single-core rate is that of B 1,024 on one thread without
any device, measured in the same run; a thousand items with 64-wide vectors, N 100, K 10, whole observations (about
1.5 kB a user-step). At the end what lies on the device is compared with what the core wrote.

Without CUDA it says so and ends with exit code 2. `--device cpu` walks the same code as a dry run: its figures say
nothing about a device, and their names say so.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any, Literal

from tqdm import tqdm

from behavior.errors import InputError
from benchmarks.common import Options, case, main, result
from benchmarks.speed.child import cores, in_child
from benchmarks.speed.table import show

__all__ = ["DeviceOptions", "measure"]


@dataclass(frozen=True, kw_only=True)
class DeviceOptions(Options):
    """Where to, and how many users."""

    device: Literal["cuda", "cpu"] = "cuda"
    """Where the observations go; cpu is a dry run."""
    users: tuple[int, ...] = (4096, 65536)
    """Batch sizes B."""


def measure(options: DeviceOptions) -> dict[str, Any]:
    """All cases; `--quick`: short windows."""
    import torch

    if options.device == "cuda" and not torch.cuda.is_available():
        raise InputError(
            "there is no CUDA device here",
            where="benchmarks.device",
            mend="run it on a machine with a GPU; --device cpu is a dry run that tells nothing about one",
        )
    wrong = [n_users for n_users in options.users if n_users < 64]
    if wrong or not options.users:
        raise InputError(
            f"users is {options.users}",
            where="--users",
            mend="give batch sizes from 64, for example 4096 65536",
        )
    name = torch.cuda.get_device_name() if options.device == "cuda" else "a dry run on the processor"
    every = cores()
    seconds, rounds = (0.5, 2) if options.quick else (3.0, 5)
    with tqdm(total=1 + len(options.users), desc="device", unit="part", disable=None) as bar:
        single = in_child("single_core", seconds=seconds, rounds=rounds)
        bar.update()
        cases, all_cores = list(single), every * single[0].value
        for n_users in options.users:
            alone, arriving = in_child(
                "feed",
                n_threads=every,
                device=options.device,
                n_users=n_users,
                seconds=seconds,
                rounds=rounds,
            )
            what, where = f"B {n_users:,}, {every} threads", f"reference: {every} x the single core"
            cases += [
                case(f"{what}: stepped, sent nowhere ({where})", alone.value, alone.unit, all_cores),
                case(f"{what}: arriving on {name} ({where})", arriving.value, arriving.unit, all_cores),
            ]
            bar.update()
    show("device", cases)
    found = result("device", cases, packages=("numpy", "numba", "torch"))
    found["machine"] += f"; {name}"
    return found


if __name__ == "__main__":
    sys.exit(main(measure, DeviceOptions, description=__doc__))
