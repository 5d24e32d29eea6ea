"""TensorBoard: tables, pictures and hyper-parameters written, learning curves read back."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from behavior.errors import InputError

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

    from evaluation.table import FinalTable

__all__ = [
    "Scalars",
    "flatten",
    "read_scalars",
    "write_hparams",
    "write_layout",
    "write_picture",
    "write_table",
    "write_text",
]


@dataclass(frozen=True)
class Scalars:
    """One curve."""

    steps: NDArray[np.int64]  # (P,) ascending, each once
    values: NDArray[np.float64]  # (P,)
    seconds: NDArray[np.float64]  # (P,) wall-clock time of writing, since 1970


def read_scalars(folder: Path) -> dict[str, Scalars]:
    """All scalar curves of the event files under `folder`, by tag.

    A resumed run has several files whose steps overlap: the value written last stands. A file that a kill cut short is
    read as far as it goes.

    Raises:
        InputError: There is no such folder.
    """
    from tensorboard.backend.event_processing.event_accumulator import (  # type: ignore[import-untyped]
        SCALARS,
        EventAccumulator,
    )

    if not folder.is_dir():
        raise InputError(
            "no such folder", where=str(folder), mend="Name the folder of a run, such as logs/<run>."
        )
    points: dict[str, dict[int, tuple[float, float]]] = {}
    reader_log = logging.getLogger("tensorboard")
    level = reader_log.level
    reader_log.setLevel(logging.ERROR)  # it reports a file cut short, which is no fault of the reader's user
    try:
        for path in sorted(folder.rglob("events.out.tfevents.*")):
            reader = EventAccumulator(str(path), size_guidance={SCALARS: 0})
            reader.Reload()
            for tag in reader.Tags()["scalars"]:
                curve = points.setdefault(tag, {})
                for event in reader.Scalars(tag):
                    if event.step not in curve or event.wall_time >= curve[event.step][1]:
                        curve[event.step] = (float(event.value), float(event.wall_time))
    finally:
        reader_log.setLevel(level)
    found = {}
    for tag, curve in sorted(points.items()):
        steps = sorted(curve)
        found[tag] = Scalars(
            steps=np.array(steps, np.int64),
            values=np.array([curve[step][0] for step in steps]),
            seconds=np.array([curve[step][1] for step in steps]),
        )
    return found


def write_table(
    writer: SummaryWriter, table: FinalTable, *, tag: str = "evaluation/table", step: int = 0
) -> None:
    """The final table as text, and its scores as scalars `evaluation/<policy>/...`."""
    records = [
        {
            "policy": row.policy,
            "score": f"{row.score.value:.3f} ±{row.score.half_width:.3f}",
            "clicks": f"{row.clicks.value:.3f}",
            "purchases": f"{row.purchases.value:.3f}",
            "share of gap": "" if row.share_of_gap is None else f"{row.share_of_gap.value:.0%}",
            f"{table.estimator or 'from the log'}": row.off_policy_text,
        }
        for row in table.rows
    ]
    if records:
        head = "| " + " | ".join(records[0]) + " |\n|" + "---|" * len(records[0])
        lines = ["| " + " | ".join(record.values()) + " |" for record in records]
        text = "\n".join([head, *lines, "", *table.notes()])
        writer.add_text(tag, text, step)
    for row in table.rows:
        name = row.policy.replace(" ", "_")
        for metric, interval in (
            ("score", row.score),
            ("clicks", row.clicks),
            ("purchases", row.purchases),
            ("share_of_gap", row.share_of_gap),
        ):
            if interval is not None and np.isfinite(interval.value):
                writer.add_scalar(f"evaluation/{name}/{metric}", interval.value, step)


def write_picture(writer: SummaryWriter, tag: str, picture: NDArray[np.uint8], *, step: int = 0) -> None:
    """A picture (height, width, 3), such as `envs.render.slate_picture` draws."""
    if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8:
        raise InputError(
            f"a picture of shape {picture.shape} and type {picture.dtype}",
            where=tag,
            mend="Pass (height, width, 3) bytes.",
        )
    writer.add_image(tag, picture, step, dataformats="HWC")


def write_hparams(
    writer: SummaryWriter,
    settings: Mapping[str, Any],
    metrics: Mapping[str, float],
    *,
    also: Mapping[str, Any] | None = None,
    first: Collection[str] = (),
    step: int = 0,
) -> None:
    """Hyper-parameters and final metrics in the writer's own folder, for TensorBoard's HPARAMS page.

    `SummaryWriter.add_hparams` would open a second folder, which shows as a second run. Of several runs TensorBoard
    takes the columns that one of them declares, whichever it finds first: `also` names those of the other agents, so
    that every run declares the same.

    Args:
        writer: Of the run.
        settings: Nested settings; keys are joined by a dot, and those that are None are left out.
        metrics: Final figures by tag; they are declared whatever they are, and those that are finite are written as
            scalars too.
        also: Further settings that other runs may have, with values of their type.
        first: Flat names of the settings whose columns come first, and are shown at once.
        step: Step of the metrics.
    """
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData  # type: ignore[import-untyped]
    from torch.utils.tensorboard.summary import hparams

    finite = {tag: float(value) for tag, value in metrics.items() if np.isfinite(value)}
    chosen = flatten(_without_none(settings))
    declared = {**flatten(_without_none(also or {})), **chosen}
    columns, _, _ = hparams(declared, dict.fromkeys(metrics, 0.0))  # type: ignore[no-untyped-call]
    _, begun, ended = hparams(chosen, finite)  # type: ignore[no-untyped-call]
    plugin = columns.value[0].metadata.plugin_data
    table = HParamsPluginData.FromString(plugin.content)
    for info in table.experiment.hparam_infos:
        info.differs = info.name in first  # TensorBoard sorts by this, then by name, and shows the first few
    plugin.content = table.SerializeToString()
    for summary in (columns, begun, ended):
        writer._get_file_writer().add_summary(summary)  # type: ignore[no-untyped-call]
    for tag, value in finite.items():
        writer.add_scalar(tag, value, step)


def write_layout(writer: SummaryWriter, slate_size: int) -> None:
    """Charts of several curves each, on TensorBoard's CUSTOM SCALARS page."""
    positions = [f"{k + 1:02d}" for k in range(slate_size)]
    parts = ("simulator", "policy", "update", "watching", "other")
    writer.add_custom_scalars(
        {
            "slates": {
                "clicks by position": ["Multiline", [f"slate/clicks_at/{k}" for k in positions]],
                "purchases by position": ["Multiline", [f"slate/purchases_at/{k}" for k in positions]],
                "coverage and repetition": ["Multiline", ["slate/coverage", "slate/repetition"]],
                "value, first page": ["Multiline", ["slate/value_predicted", "slate/value_realised"]],
            },
            "time": {"shares": ["Multiline", [f"time/{part}_share" for part in parts]]},
        }
    )


def write_text(writer: SummaryWriter, tag: str, text: str, *, step: int = 0) -> None:
    """A text such as a configuration, letter by letter (TensorBoard reads texts as Markdown)."""
    writer.add_text(tag, "\n".join(f"    {line}" for line in text.splitlines()), step)


def _without_none(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: _without_none(value) if isinstance(value, Mapping) else value
        for key, value in settings.items()
        if value is not None
    }


def flatten(settings: Mapping[str, Any], prefix: str = "") -> dict[str, bool | int | float | str]:
    """Nested settings as `group.name: value`; what is neither number nor truth value becomes text."""
    flat: dict[str, bool | int | float | str] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            flat.update(flatten(value, f"{prefix}{key}."))
        elif isinstance(value, (bool, int, float, str)):
            flat[f"{prefix}{key}"] = value
        elif isinstance(value, (list, tuple)):
            flat[f"{prefix}{key}"] = ", ".join(map(str, value))
        else:
            flat[f"{prefix}{key}"] = "" if value is None else str(value)
    return flat
