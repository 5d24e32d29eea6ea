"""The arguments of `python -m evaluation --log`, and what is printed and written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from behavior.errors import InputError
from evaluation.intervals import IntervalConfig
from pipeline.config import SourceOptions
from pipeline.judging_config import JudgeLogConfig, parse_policies
from pipeline.log_sources import Part

__all__ = ["LogArguments", "run_log"]

_WRITTEN = ("off_policy.json", "off_policy.csv", "off_policy.html")


@dataclass(frozen=True, kw_only=True)
class LogArguments:
    """Judge policies by a log: every estimator that fits it, with intervals and diagnostics; values in simulators.

    Prints one table and a verdict. A figure that cannot be believed is marked, warned of, and never ranked.
    """

    log: str
    """The log: a file (CSV or Parquet), FORMAT:PATH (`python -m behavior formats`), demo, or the folder of a run: the
    log that it was made of."""
    policy: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """Who is judged, once for each: the folder of a run (its trained policy, and for PPO the law it explores by;
    RUN#NAME for another of its policies); a table of scores (CSV or Parquet: query,item,score or
    session,step,item,score, or probability in place of score); module:function; or random. NAME=... gives a name."""
    simulator: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """Where the policies are simulated, too, once for each: pbm, cascade, ensemble, a plug-in, module:Class, or a
    folder."""
    estimators: tuple[str, ...] = ()
    """Estimators by name, or module:function for your own; all that fit if none is named."""
    part: Part = "test"
    """Which part of the log judges, by time: the last 15 % of its sessions (test), the 15 % before (valid), the first
    70 % (train), or all of it."""
    catalog: Path | None = None
    """The catalogue of a log of your own."""
    candidates: Path | None = None
    """The log's table of candidates, where it does not lie beside it."""
    columns: Path | None = None
    """The mapping file that names the columns of a log of your own."""
    data_path: Path | None = None
    """Where the files of a published data set lie, for --log FORMAT."""
    repairs: tuple[str, ...] = ()
    """Repairs of the log that may be made, by name."""
    store_seed: int = 0
    """Of --log demo."""
    store_size: Literal["default", "tiny"] = "default"
    """Of --log demo."""
    temperature: float = 1.0
    """Scores of tables and functions are drawn from by Plackett-Luce at this temperature; 0 sorts by score, and such a
    policy has support only where the log shows its very pages."""
    missing: Literal["refuse", "last"] = "refuse"
    """Candidates that a table of scores lacks: refuse, or rank them last."""
    purchase_weight: float | None = None
    """The reward is clicks + this x purchases; the run's own, else 5."""
    interval: Literal["student", "normal", "bootstrap"] = "student"
    """How intervals of figures are made; docs/intervals.md."""
    level: float = 0.95
    """Of all intervals."""
    users: int = 1000
    """Simulated users that every policy serves in every simulator, the same for all."""
    seed: int = 0
    """Key of their chance."""
    truth: bool = True
    """Simulate in the true store, too, where it is known."""
    estimate_propensities: bool = False
    """Estimate the log's propensities from its candidates, for a log that states none; the figures are warned of."""
    allow_trained_on: bool = False
    """Judge policies by sessions that they were trained on, with a warning, instead of refusing."""
    out: Path | None = None
    """Folder for off_policy.json, .csv, .html, pictures and TensorBoard's events; it must hold none of them yet."""
    quiet: bool = False
    """No progress bars."""


def run_log(arguments: LogArguments) -> None:
    """Judges, prints, writes.

    Raises:
        InputError: Anything that the user can mend.
    """
    _check(arguments)
    from evaluation.log_table import print_judgement
    from evaluation.log_verdict import judge_judgement
    from pipeline.judging import judge_log

    found = judge_log(_config(arguments))
    verdict = judge_judgement(found, seed=arguments.seed)
    print_judgement(found, verdict)
    if arguments.out is None:
        return
    from evaluation.log_chapter import LogChapter, write_chapter, write_judgement_scalars
    from evaluation.log_plots import write_plots
    from evaluation.log_table import write_judgement

    arguments.out.mkdir(parents=True, exist_ok=True)
    written = [*write_judgement(found, verdict, arguments.out), *write_plots(found, arguments.out)]
    page = arguments.out / "off_policy.html"
    written.append(
        write_chapter(LogChapter(found, verdict), page, title=f"Policies judged by {arguments.log}")
    )
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(arguments.out))
    write_judgement_scalars(writer, found)
    writer.close()
    for path in written:
        print(path)


def _check(arguments: LogArguments) -> None:
    if not 0 < arguments.level < 1:
        raise InputError(f"--level {arguments.level:g}", where="--level", mend="a level between 0 and 1")
    if arguments.users < 2:
        raise InputError(f"--users {arguments.users}", where="--users", mend="simulate at least 2 users")
    if not arguments.temperature >= 0:
        raise InputError(
            f"--temperature {arguments.temperature:g}", where="--temperature", mend="0 sorts; above 0 draws"
        )
    if arguments.out is not None:
        taken = [name for name in _WRITTEN if (arguments.out / name).exists()]
        if taken:
            raise InputError(
                f"{' and '.join(taken)} would be overwritten",
                where=str(arguments.out),
                mend="name another folder with --out",
            )


def _config(arguments: LogArguments) -> JudgeLogConfig:
    return JudgeLogConfig(
        source=_source(arguments),
        policies=parse_policies(arguments.policy),
        part=arguments.part,
        simulators=arguments.simulator,
        estimators=arguments.estimators,
        truth=arguments.truth,
        temperature=arguments.temperature,
        missing=arguments.missing,
        users=arguments.users,
        seed=arguments.seed,
        purchase_weight=arguments.purchase_weight,
        interval=IntervalConfig(method=arguments.interval, level=arguments.level),
        estimate_propensities=arguments.estimate_propensities,
        allow_trained_on=arguments.allow_trained_on,
        progress=not arguments.quiet,
    )


def _source(arguments: LogArguments) -> SourceOptions:
    """The log as a run would name it; that of a run, where its folder is given."""
    from pipeline.config_file import read_config

    folder = Path(arguments.log)
    if (folder / "config.yaml").is_file():
        return read_config(folder / "config.yaml").source
    return SourceOptions(
        data=arguments.log,
        data_path=arguments.data_path,
        catalog=arguments.catalog,
        columns=arguments.columns,
        candidates=arguments.candidates,
        repairs=arguments.repairs,
        store_seed=arguments.store_seed,
        store_size=arguments.store_size,
    )
