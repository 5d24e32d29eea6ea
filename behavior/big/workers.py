"""Who reads the parts: this process, or the machines of a Ray cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol, TypeVar

from behavior.errors import InputError

__all__ = ["RayWorkers", "SerialWorkers", "Workers"]

Job = TypeVar("Job")
Found = TypeVar("Found")


class Workers(Protocol):
    """Runs the same task for many numbers."""

    def map(self, task: Callable[[Job, int], Found], job: Job, numbers: Iterable[int]) -> Iterator[Found]:
        """`task(job, number)` for each number, in any order."""
        ...


class SerialWorkers:
    """One after the other, in this process."""

    def map(self, task: Callable[[Job, int], Found], job: Job, numbers: Iterable[int]) -> Iterator[Found]:
        """See `Workers`."""
        for number in numbers:
            yield task(job, number)


class RayWorkers:
    """Tasks on a Ray cluster, one a processor; every machine sees the result's folder under the same path.

    Args:
        address: `auto`, or that of the cluster's head; None: the cluster that this process has joined, or else a new
            one on this machine.

    Raises:
        InputError: Ray is not installed, or there is no cluster at that address.
    """

    def __init__(self, address: str | None = None) -> None:
        try:
            import ray
        except ImportError as error:
            raise InputError(
                "Ray is not installed",
                where="RayWorkers",
                mend="install the extra `ray`: pip install 'slategym[ray]', or do without --ray",
            ) from error
        self._ray: Any = ray
        if not ray.is_initialized():
            try:
                ray.init(address=address, logging_level="error")
            except ConnectionError as error:
                raise InputError(
                    f"no Ray cluster is found: {error}",
                    where=f"address {address}",
                    mend="start one with `ray start --head`, or give the address of its head",
                ) from error

    def map(self, task: Callable[[Job, int], Found], job: Job, numbers: Iterable[int]) -> Iterator[Found]:
        """See `Workers`. No more tasks are under way than the cluster has processors."""
        ray = self._ray
        remote = ray.remote(num_cpus=1, scheduling_strategy="SPREAD")(task)
        shared = ray.put(job)
        most = max(int(ray.cluster_resources().get("CPU", 1)), 1)
        running: list[Any] = []
        for number in numbers:
            if len(running) >= most:
                done, running = ray.wait(running, num_returns=1)
                yield ray.get(done[0])
            running.append(remote.remote(shared, number))
        while running:
            done, running = ray.wait(running, num_returns=1)
            yield ray.get(done[0])
