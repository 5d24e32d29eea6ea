from __future__ import annotations

import pytest
import torch

from behavior.errors import InputError
from encoders.robustness import AdversaryConfig, adversarial_loss, adversarial_token_loss
from encoders.robustness.adversary import worst_steps


def test_fgm_steps_along_the_gradient_by_a_share_of_the_length() -> None:
    x = torch.tensor([[3.0, 4.0], [0.0, 2.0]])
    a = torch.tensor([0.6, 0.8])  # loss = x @ a summed: gradient (0.6, 0.8) of length 1
    (step,) = worst_steps(lambda v: (v[0] @ a).sum(), [x], AdversaryConfig(kind="fgm", epsilon=0.1))
    torch.testing.assert_close(step, torch.tensor([[0.3, 0.4], [0.12, 0.16]]))


def test_the_adversarial_loss_of_a_linear_loss_is_known() -> None:
    x, a = torch.tensor([[3.0, 4.0]]), torch.tensor([0.6, 0.8])
    # loss(x) = 5, loss(x + delta) = 5 + 0.1 * 5 * |a| = 5.5
    for kind in ("fgm", "pgd"):
        config = AdversaryConfig(kind=kind, epsilon=0.1, weight=0.5)
        got = adversarial_loss(lambda v: (v[0] @ a).sum(), [x], config)
        assert got.item() == pytest.approx(5.0 + 0.5 * 5.5)
    assert adversarial_loss(lambda v: (v[0] @ a).sum(), [x], AdversaryConfig()).item() == pytest.approx(5.0)


def test_pgd_stays_in_the_ball_and_hurts_more_than_fgm_where_the_loss_bends() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(6, 4, 5, generator=generator)
    w = torch.randn(20, generator=generator)

    def loss(v):
        # Periodic, so that the gradient at x is a bad guide to what a whole step does.
        return torch.sin(4.0 * (v[0].flatten(1) * w)).sum(1).mean()

    lengths = {}
    for kind in ("fgm", "pgd"):
        config = AdversaryConfig(kind=kind, epsilon=0.3, steps=20, step_size=0.2)
        (step,) = worst_steps(loss, [x], config)
        share = step.flatten(1).norm(dim=1) / x.flatten(1).norm(dim=1)
        assert (share <= 0.3 + 1e-5).all()
        lengths[kind] = float(loss([x + step]))
    assert lengths["pgd"] > lengths["fgm"] > 0.0
    assert lengths["pgd"] > float(loss([x]))


def test_the_parameters_get_their_gradient_from_both_passes_and_none_from_the_search() -> None:
    p = torch.tensor([2.0], requires_grad=True)
    x = torch.tensor([[1.0]])
    config = AdversaryConfig(kind="pgd", epsilon=0.1, steps=2)
    adversarial_loss(lambda v: (p * v[0]).sum(), [x], config).backward()
    assert float(p.grad) == pytest.approx(1.0 + 1.1)


def test_token_embeddings_are_perturbed_inside_the_network() -> None:
    torch.manual_seed(0)
    table = torch.nn.Embedding(5, 3)
    top = torch.nn.Linear(3, 1)
    calls = []

    def loss():
        calls.append(1)
        queries, items = torch.tensor([[0, 1], [2, 2]]), torch.tensor([[3, 4, 4]])  # two calls of the table
        return top(table(queries)).sum() + top(table(items)).square().sum()

    config = AdversaryConfig(kind="fgm", epsilon=0.1)
    got = adversarial_token_loss(table, loss, config)
    assert len(calls) == 3  # clean, the gradient, the perturbed
    x = [table(torch.tensor([[0, 1], [2, 2]])), table(torch.tensor([[3, 4, 4]]))]
    expected = adversarial_loss(lambda v: top(v[0]).sum() + top(v[1]).square().sum(), x, config)
    assert got.item() == pytest.approx(expected.item(), rel=1e-5)
    assert got.item() > 2.0 * loss().item()  # the second pass is at a worse place
    got.backward()
    assert float(table.weight.grad.abs().sum()) > 0.0
    assert len(table._forward_hooks) == 0
    assert adversarial_token_loss(table, loss, AdversaryConfig()).item() == pytest.approx(loss().item())


def test_a_step_below_nought_is_refused() -> None:
    with pytest.raises(InputError, match="epsilon -1"):
        AdversaryConfig(kind="fgm", epsilon=-1.0)
