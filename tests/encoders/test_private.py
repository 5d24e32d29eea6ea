from __future__ import annotations

import importlib.util
import os
from dataclasses import replace

import numpy as np
import pytest
import torch

from behavior.errors import InputError
from encoders.privacy import (
    FederatedConfig,
    PrivacyConfig,
    Shop,
    UserPairs,
    federate,
    new_adapter,
    pairs_by_user,
    shops_of,
    train_adapter,
    update_adapter,
)
from encoders.privacy.adapter import make_batch, user_losses
from encoders.privacy.federated import get_weights, read_folder, set_weights, write_folder
from encoders.relevance import project

needs_opacus = pytest.mark.skipif(
    importlib.util.find_spec("opacus") is None, reason="the extra `privacy` is not installed"
)


def small(n_users: int = 40, seed: int = 0):
    """People who click what lies in the direction of their query's partner."""
    rng = np.random.default_rng(seed)
    item = rng.normal(size=(60, 16)).astype(np.float32)
    item /= np.linalg.norm(item, axis=1, keepdims=True)
    query = item[:9].copy()
    asked, shown = rng.integers(0, 9, (n_users, 6)), rng.integers(0, 60, (n_users, 6))
    click = ((query[(asked + 1) % 9] * item[shown]).sum(2) > 0.2).astype(np.float32)
    pairs = UserPairs(
        query=asked,
        item=shown,
        position=rng.integers(0, 4, (n_users, 6)),
        click=click,
        purchase=click * (rng.random(click.shape) < 0.3).astype(np.float32),
        known=np.ones_like(click),
    )
    return pairs, item, query


def config(**changes) -> PrivacyConfig:
    return replace(PrivacyConfig(epsilon=None, width=8, users_per_step=20, n_contrast=8), **changes)


def test_people_keep_their_clicks_first_and_do_not_depend_on_each_other(make_steps) -> None:
    steps = make_steps([1, 2, 1], [[0, 1, 2], [3, 4, -1], [5, 6, 7]], [[0, 0, 1], [0, 1, 0], [0, 0, 0]])
    steps = replace(steps, user=np.array([7, 3, 7]))
    wanted = np.array([False, True, True])
    pairs = pairs_by_user(steps, queries=wanted, max_pairs=4)
    assert pairs.n_users == 2
    assert pairs.known.sum(1).tolist() == [
        2,
        4,
    ]  # person 3 saw two items, person 7 six, of which four are kept
    assert pairs.item[1, 0] == 2
    assert pairs.position[1, 0] == 2
    assert pairs.click.sum(1).tolist() == [1, 1]
    alone = pairs_by_user(steps.take(np.array([0, 2])), queries=wanted, max_pairs=4)
    np.testing.assert_array_equal(alone.item[0], pairs.item[1])
    only = pairs_by_user(steps, queries=np.array([False, False, True]), max_pairs=4)
    assert only.item[only.known > 0].tolist() == [4, 3]
    with pytest.raises(InputError, match="shows nothing"):
        pairs_by_user(steps, queries=np.zeros(3, np.bool_))


def test_the_adapter_computes_what_its_heads_say() -> None:
    pairs, item, query = small()
    adapter = new_adapter(item, 4, config())
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        adapter.mix.weight += 0.3 * torch.randn(8, 8, generator=generator)
        adapter.place.weight[0] = 0.7
        adapter.click.weight.fill_(0.9)
    rng = np.random.default_rng(0)
    batch = make_batch(pairs, np.arange(5), item, query, adapter.basis.numpy(), n_contrast=3, rng=rng)
    click, buy, cosine = adapter(batch)
    heads = adapter.heads()
    moved_q, moved_i = project(query, heads.projection), project(item, heads.projection)
    expected = (moved_q[pairs.query[:5]] * moved_i[pairs.item[:5]]).sum(2)  # (5, 6)
    np.testing.assert_allclose(cosine[..., 0].detach().numpy(), expected, atol=2e-6)
    first = pairs.position[:5] == 0  # the heads speak of the first position
    logit = expected * heads.click_weight[0] + heads.bias[0]
    np.testing.assert_allclose(click.detach().numpy()[first], logit[first], atol=2e-5)
    np.testing.assert_allclose(
        buy.detach().numpy(), expected * heads.purchase_weight[0] + heads.bias[1], atol=2e-5
    )
    drawn = np.random.default_rng(0).integers(60, size=(5, 3))
    others = np.einsum("bpd,bnd->bpn", moved_q[pairs.query[:5]], moved_i[drawn])
    np.testing.assert_allclose(cosine[..., 1:].detach().numpy(), others, atol=2e-6)


def test_training_learns_what_people_click() -> None:
    pairs, item, query = small(300)
    adapter = new_adapter(item, 4, config(width=16, learning_rate=0.02, epochs=30, decay=0.0))
    before = adapter.heads()
    report = train_adapter(
        adapter,
        pairs,
        item,
        query,
        config(width=16, learning_rate=0.02, epochs=30, decay=0.0),
        progress=False,
    )
    assert report.epsilon is None

    def gap(heads):
        cosine = project(query, heads.projection) @ project(item, heads.projection).T
        scores = cosine[pairs.query, pairs.item]
        return scores[pairs.click > 0].mean() - scores[pairs.click == 0].mean()

    assert gap(adapter.heads()) > gap(before) + 0.1


@needs_opacus
def test_every_persons_gradient_is_clipped_by_itself() -> None:
    from encoders.privacy.private import _made_private, _quiet

    pairs, item, query = small()
    given = config(epsilon=1.0, max_norm=0.05)
    adapter = new_adapter(item, 4, given)
    with torch.no_grad():  # away from zero, so that every layer has a gradient
        adapter.mix.weight += 0.1 * torch.randn(8, 8, generator=torch.Generator().manual_seed(1))
    rows = np.arange(7)

    def batch_of(who):
        drawn = np.random.default_rng(5)
        whole = make_batch(pairs, rows, item, query, adapter.basis.numpy(), n_contrast=4, rng=drawn)
        values = {name: getattr(whole, name)[who] for name in whole.__dataclass_fields__}
        return type(whole)(**values)

    summed = [torch.zeros_like(p) for p in adapter.parameters()]
    norms = []
    for person in rows:
        gradients = torch.autograd.grad(
            user_losses(adapter, batch_of(slice(person, person + 1))).sum(), list(adapter.parameters())
        )
        norm = torch.sqrt(sum(g.square().sum() for g in gradients)).item()
        norms.append(norm)
        for total, gradient in zip(summed, gradients, strict=True):
            total += gradient * min(1.0, 0.05 / norm)
    assert max(norms) > 0.05  # some are clipped
    optimiser = torch.optim.SGD(adapter.parameters(), lr=0.0)
    model, private = _made_private(adapter, optimiser, given, 0.0, 7)
    model.train()
    with _quiet():
        user_losses(model, batch_of(slice(None))).mean().backward()
    private.step()
    for parameter, total in zip(adapter.parameters(), summed, strict=True):
        np.testing.assert_allclose(parameter.grad.numpy(), total.numpy() / 7, atol=1e-6)


@needs_opacus
def test_the_promise_is_kept_and_repeatable() -> None:
    pairs, item, query = small()
    reports, weights = [], []
    for epsilon in (1.0, 8.0, 8.0):
        given = config(epsilon=epsilon, epochs=4)
        adapter = new_adapter(item, 4, given)
        reports.append(train_adapter(adapter, pairs, item, query, given, progress=False))
        weights.append(np.concatenate([w.ravel() for w in get_weights(adapter)]))
        assert 0.9 * epsilon < reports[-1].epsilon <= epsilon * 1.01
    assert reports[0].noise_multiplier > 2 * reports[1].noise_multiplier
    assert reports[0].steps == 8
    assert reports[0].delta == pytest.approx(0.1 / 40)
    np.testing.assert_array_equal(weights[1], weights[2])
    assert np.abs(weights[0] - weights[1]).max() > 0


@needs_opacus
def test_noise_alone_is_added_where_nobody_is_drawn() -> None:
    pairs, item, query = small(4)
    given = config(epsilon=5.0, users_per_step=1, epochs=3, delta=0.01)
    adapter = new_adapter(item, 4, given)
    report = train_adapter(adapter, pairs, item, query, given, progress=False)
    assert report.steps == 12  # with four people and one a step, a third of the steps draw nobody
    assert np.isfinite(adapter.mix.weight.detach().numpy()).all()


def test_a_promise_that_is_none_is_refused() -> None:
    with pytest.raises(InputError, match="epsilon must be above 0"):
        PrivacyConfig(epsilon=0.0)
    with pytest.raises(InputError, match="delta"):
        PrivacyConfig(delta=1.0)


def test_shops_share_out_people() -> None:
    pairs, _, query = small(40)
    shops = shops_of(pairs, query, 4)
    assert [shop.pairs.n_users for shop in shops] == [4, 8, 12, 16]
    everyone = np.concatenate([shop.pairs.item for shop in shops])
    assert sorted(map(tuple, everyone)) == sorted(map(tuple, pairs.item))
    with pytest.raises(InputError, match="41 shops"):
        shops_of(pairs, query, 41)


def test_what_a_shop_needs_goes_through_the_folder(tmp_path) -> None:
    pairs, item, query = small()
    given = FederatedConfig(rounds=2, local=config(epochs=1.0))
    shops = shops_of(pairs, query, 3)
    start = new_adapter(item, 4, given.local)
    set_weights(start, [w + 0.01 for w in get_weights(start)])
    write_folder(tmp_path, shops, item, start, given)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "catalog.npz",
        "federated.json",
        "shop_0.npz",
        "shop_1.npz",
        "shop_2.npz",
    ]
    again, n_shops, adapter, vectors, shop = read_folder(tmp_path, 2)
    assert (again, n_shops) == (given, 3)
    np.testing.assert_array_equal(vectors, item)
    for ours, theirs in zip(get_weights(start), get_weights(adapter), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert isinstance(shop, Shop)
    assert update_adapter(adapter, shop, item, again, round_number=1, shop_number=2) == shops[2].pairs.n_users
    direct = new_adapter(item, 4, given.local)
    set_weights(direct, get_weights(start))
    update_adapter(direct, shops[2], item, given, round_number=1, shop_number=2)
    for ours, theirs in zip(get_weights(direct), get_weights(adapter), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-7)


def test_a_log_becomes_a_model_that_can_be_kept(tmp_path, shop) -> None:
    from encoders.privacy import finetune_private
    from encoders.relevance import RelevanceModel
    from encoders.text import HashEncoder

    given = config(epsilon=None, epochs=1.0, max_pairs=10)
    model, report = finetune_private(HashEncoder(), shop.catalog, shop.steps, given, progress=False)
    assert report.n_users == len(np.unique(shop.steps.user[shop.steps.query > 0]))
    model.save(tmp_path / "model")
    again = RelevanceModel.load(tmp_path / "model")
    assert again.fingerprint == model.fingerprint


@pytest.mark.slow
@pytest.mark.skipif(
    "FLOWER_PYTHON" not in os.environ, reason="FLOWER_PYTHON names no environment with flwr[simulation]"
)
def test_flower_averages_as_by_hand(tmp_path) -> None:
    pairs, item, query = small()
    given = FederatedConfig(rounds=2, local=config(epochs=1.0))
    shops = shops_of(pairs, query, 3)
    python = os.environ["FLOWER_PYTHON"]
    averaged = federate(shops, item, 4, given, folder=tmp_path / "rounds", python=python)
    weights = get_weights(new_adapter(item, 4, given.local))
    for number in (1, 2):
        learned = []
        for place, shop in enumerate(shops):
            adapter = new_adapter(item, 4, given.local)
            set_weights(adapter, weights)
            people = update_adapter(adapter, shop, item, given, round_number=number, shop_number=place)
            learned.append((people, get_weights(adapter)))
        total = sum(people for people, _ in learned)
        weights = [sum(people * w[n] for people, w in learned) / total for n in range(len(weights))]
    for ours, theirs in zip(get_weights(averaged), weights, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_an_environment_without_flower_is_named(tmp_path) -> None:
    pairs, item, query = small()
    given = FederatedConfig(rounds=1, local=config(epochs=1.0))
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho 'No module named flwr' >&2\nexit 1\n")
    python.chmod(0o755)
    with pytest.raises(InputError, match="No module named flwr"):
        federate(shops_of(pairs, query, 2), item, 4, given, folder=tmp_path / "rounds", python=python)
