"""The page as a person sees it: what is on every line, and pictures of one size."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from envs.render import slate_picture, slate_text
from envs.single import SlateEnv
from envs.tasks import make_task
from envs.toy import toy_world
from envs.world import TaskConfig

SLATE = np.array([7, 3, 11, 5])
FEEDBACK = {
    "click": np.array([1, 1, 1, 0]),
    "cart": np.array([1, 1, 0, 0]),
    "purchase": np.array([1, 0, 0, 0]),
}
MARKS = ["bought", "in cart", "clicked", ""]


@pytest.fixture(scope="module")
def world():
    return toy_world(60, 6, 15)


def test_a_line_has_position_title_price_relevance_and_what_happened(world):
    text = slate_text(world, query=2, slate=SLATE, **FEEDBACK).splitlines()
    assert text[0] == f'query: "{world.queries[2]}"'
    relevance = world.features.relevance.click_probability(
        np.array([2], np.int32), SLATE[None].astype(np.int32)
    )[0]
    for k, item in enumerate(SLATE):
        price = f"{world.features.price[item]:,.2f}"
        expected = [str(k + 1), *world.titles[item].split(), price, f"{relevance[k]:.3f}", *MARKS[k].split()]
        assert text[2 + k].split() == expected


def test_marks_are_tinted_apart(world):
    plain = slate_picture(world, query=2, slate=SLATE)
    marked = slate_picture(world, query=2, slate=SLATE, **FEEDBACK)
    assert plain.shape == marked.shape
    background = marked[:, 6]  # a column left of the text: paper or tint
    tints = {tuple(pixel) for pixel in background.tolist()}
    assert len(tints) == 4  # paper and three tints
    assert {tuple(pixel) for pixel in plain[:, 6].tolist()} == {(255, 255, 255)}
    for tint in tints:  # dark ink on any of them is legible
        assert min(tint) > 195


def test_the_picture_is_of_one_size(world):
    env = SlateEnv(world, TaskConfig(slate_size=6, n_candidates=12, max_steps=3), render_mode="rgb_array")
    env.reset(seed=0)
    sizes = {env.render().shape}
    for _ in range(9):
        *_, terminated, truncated, _ = env.step(env.action_space.sample())
        sizes.add(env.render().shape)
        if terminated or truncated:
            env.reset()
            sizes.add(env.render().shape)
    assert len(sizes) == 1


def test_unknown_prices_titles_and_queries_are_left_open(world):
    price = world.features.price.copy()
    price[7] = np.nan
    bare = dataclasses.replace(
        world, titles=(), queries=(), features=dataclasses.replace(world.features, price=price)
    )
    lines = slate_text(bare, query=4, slate=SLATE).splitlines()
    assert lines[0] == 'query: "query 4"'
    assert lines[2].split()[:3] == ["1", "item", "7"]
    assert len(lines[2].split()) == 4  # no price
    assert slate_text(bare, query=-1, slate=SLATE).splitlines()[0] == 'query: ""'
    assert slate_picture(bare, query=-1, slate=SLATE).dtype == np.uint8


def test_human_prints_page_after_page(capsys):
    world, task = make_task("Funnel")
    env = SlateEnv(world, task, render_mode="human", first_user=9)
    env.reset(seed=1)
    assert env.render() is None
    env.step(np.arange(task.slate_size))
    if not env.core.over.any():
        env.step(np.arange(task.slate_size))
    printed = capsys.readouterr().out
    pages = printed.rstrip("\n").split("\n\n")
    for number, page in enumerate(pages, 1):
        assert page.startswith(f"user 9, page {number} of at most {task.max_steps}\n")
        assert len(page.splitlines()) == 3 + task.slate_size
