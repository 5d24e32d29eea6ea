"""The main job: from a log to a trained, judged slate policy, one stage after the other."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from agents.ranks import Ranks
from behavior.errors import InputError
from behavior.files import disk_errors_named
from pipeline.checks import check_config
from pipeline.choice import with_choice
from pipeline.cli import parse, report_error
from pipeline.config import TrainConfig
from pipeline.run_folder import RunFolder
from pipeline.stops import Stops
from pipeline.threads import use_threads
from pipeline.together import follow, go_on_with

if TYPE_CHECKING:
    from envs.world import TaskConfig, World
    from pipeline.data import ShopData
    from pipeline.learning import Learned
    from pipeline.relevance import Relevance
    from pipeline.users import Users
    from pipeline.worlds import Observed

__all__ = ["main", "walk"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run `train.py` with these arguments; the exit code (2: a mistake of the user, 130: interrupted).

    Under `torchrun` every process comes here: the first walks all stages, the others only train with it.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    ranks = Ranks.alone()
    run: RunFolder | None = None
    try:
        ranks = Ranks.from_environment()
        with ranks.in_turn():
            arguments = parse(argv)
            config = arguments.settings
            check_config(config)
        stops = Stops()
        stops.listen()
        if ranks.first:
            resumed = arguments.resume
            run = RunFolder.resume(resumed, config) if resumed else RunFolder.create(config, argv)
            run.after_stage = stops.check
            ranks.share(run.path)
            with disk_errors_named(run.path):
                walk(run, config, ranks)
        else:
            follow(ranks.share(Path()), config, ranks)
    except InputError as error:
        code = report_error(error, rank=ranks.rank)
        if run is not None and not run.discard_if_empty():
            print(
                f"what is done is kept; once mended, go on with:\n  {go_on_with(run.path, ranks)}",
                file=sys.stderr,
            )
        return code
    except KeyboardInterrupt:
        if run is not None:
            print(f"\nstopped; go on with:\n  {go_on_with(run.path, ranks)}", file=sys.stderr)
        elif not ranks.first:
            print(f"process {ranks.rank} stopped", file=sys.stderr)
        return 130
    finally:
        if run is not None:
            run.close()
    return 0


def walk(run: RunFolder, config: TrainConfig, ranks: Ranks) -> None:
    """All stages; what an earlier start of the run has finished is read back.

    Args:
        run: Its folder.
        config: All settings.
        ranks: The processes that train together, of which this is the first; the others `follow`.
    """
    from pipeline.data import load_shop
    from pipeline.learning import learn
    from pipeline.relevance import learn_relevance
    from pipeline.users import fit_users
    from pipeline.worlds import fitted_world, observe, task_for

    print(f"{run.path}", flush=True)
    use_threads(config.run.threads)
    with run.stage("data") as line:
        shop = load_shop(config)
        run.note("split", [asdict(part) for part in shop.split])
        line.say(shop.summary())
    with run.stage("relevance") as line:
        relevance = learn_relevance(config, shop, run.path)
        line.say(relevance.summary())
    with run.stage("simulators") as line:
        users = fit_users(config, shop, relevance.features, run.path)
        config = with_choice(config, run.path)
        line.say(users.summary())
    with run.stage("environment") as line:
        task = task_for(config, shop)
        world = fitted_world(shop, relevance, users.simulator)
        observed = observe(config, shop, relevance, task)
        cut = "" if task.slate_size == config.task.slate_size else " (the log's pages hold no more)"
        line.say(
            f"{config.task.task}: K {task.slate_size}{cut} of N {task.n_candidates}, "
            f"at most {task.max_steps} pages"
        )
    ranks.barrier()  # the others go on from here, with what has been made so far
    with run.stage("training") as line:
        learned = learn(run, config, shop, relevance, world, task, ranks)
        line.say(learned.summary + (f", by {ranks.size} processes" if ranks.size > 1 else ""))
    ranks.close()
    _judge(run, config, shop, relevance, users, world, task, observed, learned)


def _judge(
    run: RunFolder,
    config: TrainConfig,
    shop: ShopData,
    relevance: Relevance,
    users: Users,
    world: World,
    task: TaskConfig,
    observed: Observed,
    learned: Learned,
) -> None:
    from evaluation.report import write_report
    from evaluation.run_artifacts import JudgeOptions, judge_from_log, judge_online
    from pipeline.agreement import agreement, print_chapter
    from pipeline.artifacts import gather
    from pipeline.log_chapter import keep_chapter, log_chapter, report_table
    from pipeline.reporting import (
        before_and_after,
        explanation,
        final_table,
        page,
        verdict,
        write_comparisons,
        write_to_tensorboard,
    )
    from pipeline.worlds import judged_world

    held = gather(config, shop, world, task, observed, learned, others=users.others)
    options = JudgeOptions(
        users=config.judge.eval_users, planner_users=config.judge.planner_users, quiet=config.run.quiet
    )
    with run.stage("judgement") as line:
        judged = judge_online(held, options)
        line.say(
            f"{len(judged.online.outcomes)} policies on {options.users:,} held-out users of {judged.world}"
        )
    with run.stage("off-policy") as line:
        off_policy = judge_from_log(held, options)
        by_log = log_chapter(held, options)
        if not isinstance(by_log, str):
            keep_chapter(by_log, run.path)
        supported = sum(result.status == "ok" for result in off_policy.values())
        line.say(
            f"{supported} of {len(off_policy)} policies supported by {shop.test.n_steps:,} held-out logged pages"
            if off_policy
            else "the log states no propensities or no candidates: nothing can be said"
        )
    chapter = None
    with run.stage("agreement") as line:
        if config.judge.agreement:
            chapter = agreement(run, held, options, judged, off_policy)
            line.say(chapter.sentence())
        else:
            line.say("left out, as asked")
    with run.stage("report") as line:
        table = final_table(judged, off_policy, learned.name)
        table.write(run.path)
        write_comparisons(run, judged, learned.name)
        write_to_tensorboard(run, config, table, judged, learned.name, task)
        found = verdict(judged, off_policy, learned.name, shop)
        judged_in = judged_world(shop, world)
        slates = before_and_after(config, judged_in, task, learned.shown)
        data = page(
            run,
            config,
            shop,
            relevance,
            users,
            judged,
            table,
            found,
            off_policy,
            learned.curves(run.path),
            slates,
            explanation(config, judged_in, task, run, learned),
            chapter,
        )
        if not isinstance(by_log, str):
            data = replace(data, tables=(*data.tables, report_table(by_log)))
        write_report(data, run.path / "report.html")
        line.say(f"{run.path / 'report.html'}")
    print()
    table.render()
    if chapter is not None:
        print_chapter(chapter)
    if found is not None:
        print(f"\n{found.headline}")
    show = f"{_installed('tensorboard')} --logdir {shlex.quote(str(config.run.logs))}"
    print(f"\nreport:      {run.path / 'report.html'}\ntensorboard: {show}")


def _installed(command: str) -> str:
    """How to call a command of this environment from here, whether or not the environment is activated."""
    beside = Path(sys.executable).with_name(command)
    if not beside.exists() or shutil.which(command) == str(beside):
        return command
    here = Path.cwd()
    return shlex.quote(str(beside.relative_to(here) if beside.is_relative_to(here) else beside))
