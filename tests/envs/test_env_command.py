"""`python -m envs`: what it prints, what it writes, and how it fails."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from envs.__main__ import main
from envs.tasks import SUITE, suite
from envs.tasks.pages import MARKER, index_page, task_page, task_rows
from envs.tasks.reference import reference_rows, write_reference

ROOT = Path(__file__).resolve().parents[2]
POLICIES = (
    "random", "popularity", "relevance", "mmr", "constant slate", "score direction", "longest session", "myopic",
    "belief", "planning",
)  # fmt: skip


def run(capsys, *arguments):
    code = main(list(arguments))
    out, err = capsys.readouterr()
    return code, out, err


def test_lists_every_task_with_its_reason(capsys):
    code, out, err = run(capsys, "list")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    for name, entry in SUITE.items():
        row = next(i for i, line in enumerate(lines) if line.startswith(name))
        assert entry.reason in lines[row + 1]
    assert max(map(len, lines)) <= 80
    assert any(line.split()[:2] == ["SlateRank-Catalog1M-v0", "1,000,000"] for line in lines)


def test_describes_a_task_for_the_terminal_and_as_markdown(capsys):
    code, out, _ = run(capsys, "describe", "boredom")
    assert code == 0
    assert "SlateRank-Boredom-v0" in out
    assert "## " not in out  # set, not raw
    assert "MultiDiscrete([50] * 5)" in out
    code, out, _ = run(capsys, "describe", "SlateRank-Boredom-v0", "--markdown")
    assert code == 0
    assert f"{MARKER}\n{out}" == (ROOT / "docs" / "tasks" / "SlateRank-Boredom-v0.md").read_text("utf-8")


def test_plays_the_same_session_as_the_environment(capsys):
    from envs import SlateEnv
    from envs.tasks import make_task

    code, out, err = run(capsys, "play", "Boredom", "--policy", "relevance", "--user", "4", "--seed", "2")
    assert (code, err) == (0, "")
    world, task = make_task("Boredom")
    env = SlateEnv(world, task, seed=2, first_user=4)
    observation, _ = env.reset()
    total, pages, over = 0.0, 0, False
    while not over:
        order = np.argsort(-observation["scores"], kind="stable")[:5]
        for item in observation["candidates"][order]:
            assert world.titles[item] in out
        observation, _, left, cut, info = env.step(order)
        total, pages, over = total + info["score"], pages + 1, left or cut
    assert f"after {pages} page" in out
    assert f"score {total:,.2f}" in out.splitlines()[-2]
    assert out.count("page ") >= pages
    assert "satisfaction" in out


@pytest.mark.parametrize("policy", ["random", "popularity", "mmr", "myopic"])
def test_each_policy_plays(capsys, policy):
    code, out, _ = run(capsys, "play", "Business", "--policy", policy, "--users", "2", "--pages", "2")
    assert code == 0
    assert "== user 0" in out
    assert "== user 1" in out
    assert out.count("page 1 of at most 15") == 2


def test_a_funnel_tells_carts_and_a_life_its_visits(capsys):
    assert "intent" in run(capsys, "play", "Funnel", "--pages", "1")[1]
    assert "visit 1" in run(capsys, "play", "Return", "--pages", "1")[1]
    assert "the session goes on" in run(capsys, "play", "Drift", "--pages", "1", "--seed", "1")[1]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["describe", "Boring"], "Boring"),
        (["play", "Boring"], "Boring"),
        (["play", "Boredom", "--policy", "psychic"], "psychic"),
        (["play", "Boredom", "--users", "0"], "--users"),
        (["play", "Boredom", "--pages", "0"], "--pages"),
        (["play", "Boredom", "--user", "-1"], "--user"),
        (["play", "Boredom", "--user", str(2**63)], "--user"),
        (["play", "Boredom", "--seed", "-1"], "seed"),
        (["check", "Boring"], "Boring"),
        (["check", "no_such_module:world"], "no_such_module"),
        (["check", "envs:no_such_function"], "no_such_function"),
        (["check", "envs.toy:"], "module:function"),
        (["check", "math:pi"], "module:function"),
        (["check", "os:getcwd"], "World"),
        (["check", "math:sqrt"], "without arguments"),
        (["reference", "no/such/file.json"], "no/such/file.json"),
    ],
)
def test_mistakes_are_named_without_a_traceback(capsys, arguments, named):
    code, out, err = run(capsys, *arguments)
    assert code == 2
    assert err.startswith("error: ")
    assert named in err
    assert "Traceback" not in err + out


@pytest.mark.slow
def test_checks_a_task(capsys):
    code, out, _ = run(capsys, "check", "Static", "--no-sb3")
    assert code == 0
    assert out.count("ok  ") >= 10
    assert "FAILED" not in out


def test_a_broken_world_fails_its_checks_and_the_rest_still_runs(capsys, monkeypatch, tmp_path):
    # A user who draws clicks from a global generator: no two runs are alike.
    (tmp_path / "my_shop.py").write_text(
        "import dataclasses\n"
        "import numpy as np\n"
        "import envs\n"
        "class Moody:\n"
        "    def __init__(self, inner):\n"
        "        self.inner, self.draws = inner, np.random.default_rng()\n"
        "    def __getattr__(self, name):\n"
        "        return getattr(self.__dict__['inner'], name)\n"
        "    def respond(self, state, slates, *, seed):\n"
        "        feedback = self.inner.respond(state, slates, seed=seed)\n"
        "        click = (self.draws.random(slates.shape) < 0.5).astype(np.uint8)\n"
        "        return dataclasses.replace(feedback, click=click, purchase=click * 0, cart=None)\n"
        "def world():\n"
        "    shop = envs.toy_world(n_items=60, n_queries=5, n_candidates=10)\n"
        "    return dataclasses.replace(shop, simulator=Moody(shop.simulator))\n"
        "def good():\n"
        "    task = envs.TaskConfig(slate_size=3, n_candidates=10, max_steps=5)\n"
        "    return envs.toy_world(n_items=60, n_queries=5, n_candidates=10), task\n"
        "def late():\n"
        "    raise ValueError('no data today')\n",
        encoding="utf-8",
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "my_shop", raising=False)
    code, out, err = run(capsys, "check", "my_shop:good", "--no-sb3")
    assert (code, err) == (0, "")
    code, out, err = run(capsys, "check", "my_shop:late")
    assert code == 2
    assert "no data today" in err
    code, out, err = run(capsys, "check", "my_shop:world", "--no-sb3")
    assert code == 1
    assert "FAILED  Two copies give the same trajectories" in out
    assert "ok  " in out
    assert "broken" in err


# --- the pages


def test_the_pages_in_the_repository_are_what_the_command_writes(capsys, tmp_path):
    code, out, _ = run(capsys, "docs", "--out", str(tmp_path / "tasks"))
    assert code == 0
    kept = ROOT / "docs" / "tasks"
    written = {path.name: path.read_text("utf-8") for path in (tmp_path / "tasks").iterdir()}
    assert (
        set(written)
        == {path.name for path in kept.iterdir()}
        == {f"{name}.md" for name in SUITE} | {"README.md"}
    )
    for name, text in written.items():
        assert (kept / name).read_text("utf-8") == text, f"{name} is out of date: run `python -m envs docs`"
    assert len(out.splitlines()) == len(written)


def test_pages_are_written_again_over_themselves_only(capsys, tmp_path):
    folder = tmp_path / "tasks"
    assert run(capsys, "docs", "--out", str(folder))[0] == 0
    stale = folder / "SlateRank-Drift-v0.md"
    stale.write_text(f"{MARKER}\nold\n", encoding="utf-8")
    assert run(capsys, "docs", "--out", str(folder))[0] == 0
    assert "old" not in stale.read_text("utf-8").splitlines()
    mine = folder / "README.md"
    mine.write_text("my own notes\n", encoding="utf-8")
    stale.write_text(f"{MARKER}\nold\n", encoding="utf-8")
    code, _, err = run(capsys, "docs", "--out", str(folder))
    assert code == 2
    assert "README.md" in err
    assert mine.read_text("utf-8") == "my own notes\n"
    assert stale.read_text("utf-8") == f"{MARKER}\nold\n"  # nothing at all was written


def test_a_file_in_the_place_of_the_folder_is_named(capsys, tmp_path):
    (tmp_path / "tasks").write_text("x", encoding="utf-8")
    code, _, err = run(capsys, "docs", "--out", str(tmp_path / "tasks"))
    assert code == 2
    assert "tasks" in err


# --- reference returns


def benchmark(*tasks, missing=()):
    cases = []

    def add(name, value, **more):
        if name not in missing:
            cases.append({"case": name, "value": value, "low": value - 0.5, "high": value + 0.5} | more)

    for short in tasks:
        for i, who in enumerate(POLICIES):
            add(f"{short}: {who}", 10.0 + i, unit="score per session")
            if who not in ("random", "planning"):
                add(f"{short}: {who}, share of gap", i / 9)
        add(f"{short}: planning gap", 0.25)
        add(f"{short}: personalisation gap", 0.4)
        add(f"{short}: out of reach by hidden state", 0.1)
        cases.append({"case": f"{short}: seconds", "value": 3.0})
    return {"benchmark": "tasks", "cases": cases}


def test_the_benchmarks_figures_become_rows():
    rows = reference_rows(benchmark("Drift"), where="x")["SlateRank-Drift-v0"]
    assert [row["name"] for row in rows if row["kind"] == "score"] == list(POLICIES)
    assert rows[0] == {
        "kind": "score",
        "name": "random",
        "value": 10.0,
        "low": 9.5,
        "high": 10.5,
        "share": 0.0,
    }
    assert rows[9]["share"] == 1.0
    assert rows[7]["share"] == pytest.approx(7 / 9)
    assert [(row["name"], row["value"]) for row in rows if row["kind"] == "share"] == [
        ("planning gap", 0.25),
        ("personalisation gap", 0.4),
        ("out of reach by hidden state", 0.1),
    ]


def test_tasks_not_measured_keep_what_they_have(tmp_path):
    kept, first, second = (tmp_path / name for name in ("kept.json", "first.json", "second.json"))
    first.write_text(json.dumps(benchmark("Drift", "Static")), encoding="utf-8")
    changed = benchmark("Static")
    changed["cases"][0]["value"] = 99.0
    second.write_text(json.dumps(changed), encoding="utf-8")
    assert write_reference(first, kept) == ["SlateRank-Static-v0", "SlateRank-Drift-v0"]
    assert write_reference(second, kept) == ["SlateRank-Static-v0"]
    found = json.loads(kept.read_text("utf-8"))
    assert list(found) == ["SlateRank-Static-v0", "SlateRank-Drift-v0"]
    assert found["SlateRank-Static-v0"][0]["value"] == 99.0
    assert found["SlateRank-Drift-v0"][0]["value"] == 10.0


def test_measured_figures_show_in_the_pages(monkeypatch, tmp_path):
    kept, measured = tmp_path / "kept.json", tmp_path / "measured.json"
    measured.write_text(json.dumps(benchmark("Drift")), encoding="utf-8")
    write_reference(measured, kept)
    monkeypatch.setattr(suite, "REFERENCE", kept)
    suite.reference_returns.cache_clear()
    try:
        text = suite.reference_section("SlateRank-Drift-v0")
        assert "| planning | 19.00 | 18.50 to 19.50 | 100 % |" in text
        assert "25 %" in text
        assert next(row.planning_gap for row in task_rows() if "Drift" in row.id) == 0.25
        assert "| 25 % |" in index_page()
        assert "Not measured yet" in suite.reference_section("SlateRank-Static-v0")
    finally:
        suite.reference_returns.cache_clear()


def test_what_is_kept_is_what_was_measured():
    measured = ROOT / "benchmarks" / "results" / "tasks.json"
    if not suite.REFERENCE.is_file():
        pytest.skip("no reference returns are kept yet")
    found = reference_rows(json.loads(measured.read_text("utf-8")), where=str(measured))
    assert json.loads(suite.REFERENCE.read_text("utf-8")) == found, (
        "the reference returns are not those of benchmarks/results/tasks.json: run `python -m envs reference` on it, "
        "then `python -m envs docs`"
    )


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("{", "JSON"),
        ("[]", "object"),
        ('{"benchmark": "store", "cases": []}', "store"),
        (json.dumps(benchmark()), "no task"),
        (json.dumps(benchmark("Drift", missing=["Drift: myopic"])), "Drift: myopic"),
        (json.dumps(benchmark("Drift", missing=["Drift: planning gap"])), "Drift: planning gap"),
    ],
)
def test_another_json_is_refused_and_nothing_is_kept(capsys, monkeypatch, tmp_path, content, named):
    file, kept = tmp_path / "measured.json", tmp_path / "kept.json"
    file.write_text(content, encoding="utf-8")
    monkeypatch.setattr(suite, "REFERENCE", kept)
    code, _, err = run(capsys, "reference", str(file))
    assert code == 2
    assert named in err
    assert not kept.exists()


def test_a_page_is_the_docstring_under_its_id():
    from envs.tasks import task_env

    text = task_page(task_env("Drift"))
    assert text.startswith(f"{MARKER}\n# SlateRank-Drift-v0\n\nRank for ")
    assert text.endswith("\n")


def test_runs_as_a_module_and_bears_a_closed_pipe():
    command = f"{sys.executable} -m envs describe Boredom | head -1"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert "SlateRank-Boredom-v0" in done.stdout
    assert "Traceback" not in done.stderr
