"""The job: deal out, check and regroup part by part, number, split in time, write chunk by chunk."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TypeVar

import pandas as pd
from tqdm import tqdm

from behavior.big.config import BigLogConfig
from behavior.big.engine import connect
from behavior.big.gather import GatherJob, gather_chunk, joined_shape
from behavior.big.number import Numbering, number_parts
from behavior.big.part import PartFaults, PartJob, PartResult, tidy_part
from behavior.big.prepared import FORMAT, Meta, PreparedLog, open_prepared, write_meta
from behavior.big.scatter import scatter
from behavior.big.source import Source, open_source
from behavior.big.survey import Survey, survey_log
from behavior.big.workers import SerialWorkers, Workers
from behavior.catalog import Catalog
from behavior.columns import ColumnMap
from behavior.errors import InputError
from behavior.faults import FaultDigest
from behavior.files import atomic_folder, refuse_existing
from behavior.log import candidates_path
from behavior.readers.tables import column_map, read_catalog
from behavior.repairs import check_repairs

__all__ = ["prepare_log"]

_MOST_ROWS = 2**40

Found = TypeVar("Found")


def prepare_log(
    log: Path | str,
    out: Path | str,
    *,
    catalog: Catalog | Path | str | None = None,
    columns: ColumnMap | Path | str | None = None,
    repairs: Collection[str] = (),
    candidates: Path | str | None = None,
    config: BigLogConfig | None = None,
    workers: Workers | None = None,
    progress: bool = True,
) -> PreparedLog:
    """Read a log of any size and write it as arrays, split in time; memory is bounded by `config`.

    What is written is what `behavior.load`, `InteractionLog.to_steps` and `split_steps_by_time` give for a log that
    fits into memory.

    Args:
        log: A file (Parquet, CSV, TSV, or `.csv.gz`), a folder of them, or a pattern with `*`; the rows of several
            files follow each other in the order of the files' names.
        out: The folder of the result; it must not be there yet. As much again is written beside it meanwhile.
        catalog: The catalogue, or its file, folder or pattern; None: items are known by their ids alone.
        columns: Column names, or the mapping file that holds them.
        repairs: Repairs that may be made, by name. Rows that `sort` moved are counted within each part.
        candidates: The table of candidates; None: `<stem>.candidates<suffix>` beside the log, if there is one.
        config: How much is held at a time.
        workers: Who checks the parts and writes the chunks; this process by default.
        progress: Whether to show bars.

    Raises:
        InputError: Files or cells that are not what they must be; all faults are gathered before any is told.
    """
    config, workers, out = config or BigLogConfig(), workers or SerialWorkers(), Path(out)
    asked = check_repairs(repairs)
    refuse_existing(out)
    names = column_map(columns)
    with atomic_folder(out) as folder:
        work = folder / "work"
        work.mkdir()
        rows = open_source(log, work / "texts", progress=progress)
        if rows.n_rows > _MOST_ROWS:
            raise InputError("the log has too many rows", where=str(log), mend="prepare it in several pieces")
        listed = _candidates(Path(log), candidates, work / "listed", progress=progress)
        if catalog is not None and not isinstance(catalog, Catalog):
            catalog = read_catalog(catalog, names, progress=progress)
        with connect(work / "engine", config.engine_gb) as engine:
            survey = survey_log(engine, rows, listed, names, asked)
            n_parts = -(-rows.n_rows // config.rows_per_part)
            (work / "rows").mkdir()
            scatter(
                engine,
                rows,
                survey.select,
                survey.key,
                work / "rows",
                n_parts,
                config.rows_per_write,
                progress=progress,
            )
            if listed is not None:
                scatter(
                    engine,
                    listed,
                    survey.candidates_select,
                    survey.candidates_key,
                    work / "candidates",
                    n_parts,
                    config.rows_per_write,
                    progress=progress,
                )
        job = PartJob(
            folder=work,
            source=rows.name,
            columns=names,
            repairs=asked,
            catalog=catalog,
            single=survey.single,
            whole=survey.whole,
            empty=rows.empty(tuple(survey.select)),
            empty_candidates=None if listed is None else listed.empty(tuple(survey.candidates_select)),
        )
        found = _bar(workers.map(tidy_part, job, range(n_parts)), n_parts, "check and regroup", progress)
        parts = _sound(found, rows, listed)
        with connect(work / "engine", config.engine_gb) as engine:
            numbering = number_parts(
                engine,
                work,
                [part.part for part in parts],
                config.fractions,
                config.pages_per_chunk,
                items=catalog is None,
                progress=progress,
            )
        context_names = _context_names(parts)
        gather = GatherJob(
            folder=work,
            out=folder,
            parts=parts,
            chunks=numbering.chunks,
            shape=joined_shape(parts, len(context_names)),
            context_names=context_names,
            items=catalog is None,
        )
        n_chunks = len(numbering.chunks)
        written = workers.map(gather_chunk, gather, range(n_chunks))
        n_pages = sum(_bar(written, n_chunks, "write in order of time", progress))
        assert n_pages == sum(record.n_steps for record in numbering.records)
        (work / "queries.parquet").rename(folder / "queries.parquet")
        if catalog is None:
            catalog = Catalog.from_frame(pd.read_parquet(work / "items.parquet"), source=rows.name)
        catalog.write(folder / "catalog.parquet")
        write_meta(folder, _meta(rows, survey, parts, numbering, context_names, config))
        shutil.rmtree(work)
    return open_prepared(out)


def _candidates(log: Path, given: Path | str | None, scratch: Path, *, progress: bool) -> Source | None:
    place: Path | str | None = given
    if given is None and log.is_file():
        beside = candidates_path(log)
        place = beside if beside.exists() else None
    elif given is None:
        beside = (log if log.is_dir() else log.parent) / "*.candidates.*"
        place = beside if any(beside.parent.glob(beside.name)) else None
    return None if place is None else open_source(place, scratch, companions=True, progress=progress)


def _bar(found: Iterator[Found], total: int, what: str, progress: bool) -> Iterator[Found]:
    bar: Iterator[Found] = iter(
        tqdm(found, total=total, desc=what, delay=2, disable=None if progress else True)
    )
    return bar


def _sound(
    found: Iterable[PartResult | PartFaults | None], rows: Source, listed: Source | None
) -> tuple[PartResult, ...]:
    """The parts in order; the faults of all of them are raised together, those of the earliest stage alone."""
    parts: list[PartResult] = []
    faults: list[PartFaults] = []
    for result in found:
        if isinstance(result, PartFaults):
            faults.append(result)
        elif result is not None:
            parts.append(result)
    if faults:
        stage = min(fault.stage for fault in faults)
        told = [fault for fault in faults if fault.stage == stage]
        source = listed if listed is not None and told[0].source != rows.name else rows
        described = told[0].source.replace(rows.name, rows.described)
        place = source.place if len(source.files) > 1 else None
        raise FaultDigest.sum(fault.digest for fault in told).error(described, place)
    if not parts:
        raise InputError(
            "no page is left: each shows an item that the catalogue lacks",
            where=rows.name,
            mend="check that the log and the catalogue number their items alike",
        )
    return tuple(sorted(parts, key=lambda part: part.part))


def _context_names(parts: tuple[PartResult, ...]) -> tuple[str, ...]:
    """Numbers as they are, texts one column per level of any part (`name=level`, levels sorted)."""
    names: list[str] = []
    for place, (name, levels) in enumerate(parts[0].context):
        if levels is None:
            names.append(name)
        else:
            seen = {level for part in parts for level in part.context[place][1] or ()}
            names += [f"{name}={level}" for level in sorted(seen)]
    return tuple(names)


def _meta(
    rows: Source,
    survey: Survey,
    parts: tuple[PartResult, ...],
    numbering: Numbering,
    context_names: tuple[str, ...],
    config: BigLogConfig,
) -> Meta:
    told = survey.names.notes
    repaired: dict[str, int] = {}
    for part in parts:
        for name, count in part.repaired.items():
            repaired[name] = repaired.get(name, 0) + count
    return Meta(
        format=FORMAT,
        source=rows.name,
        n_rows=sum(part.n_rows for part in parts),
        n_clicks=sum(part.n_clicks for part in parts),
        n_purchases=sum(part.n_purchases for part in parts),
        n_users=numbering.n_users,
        single_impressions=survey.single,
        context_names=context_names,
        split=numbering.records,
        chunks={
            record.name: sum(chunk.part == record.name for chunk in numbering.chunks)
            for record in numbering.records
        },
        repaired=repaired,
        notes=(*told, *(note for note in parts[0].notes if note not in told)),
        config=asdict(config),
    )
