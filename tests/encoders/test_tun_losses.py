"""The losses of fine-tuning against values worked by hand."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from encoders.tuning import losses

LN2 = math.log(2.0)


def row(*values: float) -> torch.Tensor:
    return torch.tensor([values], dtype=torch.float64)


def test_pointwise_by_hand() -> None:
    # One hit at logit 0 costs log 2; three misses at log 3 cost log 4 each.
    logit, hits, misses = row(0.0, math.log(3.0)), row(1.0, 0.0), row(0.0, 3.0)
    assert losses.pointwise(logit, hits, misses).item() == pytest.approx((LN2 + 3 * math.log(4.0)) / 4)
    heavier = losses.pointwise(logit, hits, misses, positive_weight=3.0)
    assert heavier.item() == pytest.approx((3 * LN2 + 3 * math.log(4.0)) / 6)


def test_pairwise_by_hand() -> None:
    logit, gain = row(1.0, 0.0, 2.0), row(1.0, 0.0, 0.5)
    # Ordered pairs: (0, 1) gap 1, (0, 2) gap -1, (2, 1) gap 2.
    expected = sum(math.log1p(math.exp(-gap)) for gap in (1.0, -1.0, 2.0)) / 3
    assert losses.pairwise_logistic(logit, gain, row(1, 1, 1)).item() == pytest.approx(expected)
    # Without the third item one pair is left; a second row without any order changes nothing.
    two = torch.cat([logit, logit]), torch.cat([gain, row(1, 1, 1)]), torch.cat([row(1, 1, 0), row(1, 1, 1)])
    assert losses.pairwise_logistic(*two).item() == pytest.approx(math.log1p(math.exp(-1.0)))


def test_lambda_loss_by_hand() -> None:
    # The better item stands second: ranks 2 and 1, apart 1. Its swap changes DCG by 1 - 1/log2(3).
    logit, gain = row(0.0, 1.0), row(1.0, 0.0)
    delta = 10.0 * (1.0 - 1.0 / math.log2(3.0)) + (1.0 - 1.0 / math.log2(3.0))
    expected = delta * math.log2(1.0 + math.exp(1.0))
    assert losses.lambda_loss(logit, gain, row(1, 1)).item() == pytest.approx(expected)


def test_lambda_loss_against_enumeration_of_pairs() -> None:
    generator = torch.Generator().manual_seed(0)
    logit = torch.rand((1, 5), generator=generator, dtype=torch.float64)
    gain = row(3.0, 0.0, 1.0, 0.0, 7.0)
    inside = [0, 1, 2, 4]
    place = {i: 1 + r for r, i in enumerate(sorted(inside, key=lambda i: -logit[0, i].item()))}
    ideal = 7.0 + 3.0 / math.log2(3) + 1.0 / 2.0
    total = 0.0
    for i, j in itertools.permutations(inside, 2):
        if gain[0, i] > gain[0, j]:
            apart = abs(place[i] - place[j])
            near = 1 / math.log2(1 + apart) - 1 / math.log2(2 + apart)
            far = abs(1 / math.log2(1 + place[i]) - 1 / math.log2(1 + place[j]))
            change = (gain[0, i] - gain[0, j]).item() / ideal
            total += (10 * near + far) * change * math.log2(1 + math.exp((logit[0, j] - logit[0, i]).item()))
    found = losses.lambda_loss(logit, gain, row(1, 1, 1, 0, 1))
    assert found.item() == pytest.approx(total)


def test_softmax_by_hand() -> None:
    # Weights 1, 1, 1/2 and equal scores: shares of the softmax 0.4, 0.4, 0.2.
    found = losses.listwise_softmax(row(0, 0, 0), row(3.0, 1.0, 0.0), row(1, 1, 0.5))
    assert found.item() == pytest.approx(-math.log(0.4))
    # An item of weight 0 is not there, whatever its score and gain.
    out = losses.listwise_softmax(row(0, 0, 50), row(1.0, 0.0, 9.0), row(1, 1, 0))
    assert out.item() == pytest.approx(LN2)


def test_contrastive_by_hand() -> None:
    cosine, gain = row(0.1, 0.2, 0.0), row(1.0, 1.0, 0.0)
    expected = [math.log1p(math.exp(-2.0)), math.log1p(math.exp(-4.0))]  # at temperature 0.05
    found = losses.contrastive(cosine, gain, row(1, 1, 1), temperature=0.05)
    assert found.item() == pytest.approx(sum(expected) / 2)
    assert losses.contrastive(cosine, row(1, 1, 1), row(1, 1, 1)).item() == 0.0  # nothing to tell apart


def test_distilled_is_a_divergence() -> None:
    teacher = row(0.0, math.log(3.0), 9.0)
    same = losses.distilled(teacher + 5.0, teacher, row(1, 1, 0))
    assert same.item() == pytest.approx(0.0, abs=1e-12)
    # Student uniform over two, teacher (1/4, 3/4).
    expected = 0.25 * math.log(0.5) + 0.75 * math.log(1.5)
    assert losses.distilled(row(0, 0, 0), teacher, row(1, 1, 0)).item() == pytest.approx(expected)


def test_entire_space_by_hand() -> None:
    # p(click) 1/2, p(purchase | click) 1/4: p 1/8. One purchase among four impressions.
    click, purchase = row(0.0), row(-math.log(3.0))
    found = losses.entire_space(click, purchase, row(2.0), row(2.0), row(1.0))
    assert found.item() == pytest.approx((math.log(8.0) + 3 * math.log(8.0 / 7.0)) / 4)
    # Near certainty stays finite, with its gradient.
    sure = row(40.0).requires_grad_()
    losses.entire_space(sure, row(40.0), row(1.0), row(0.0), row(0.0)).backward()
    assert torch.isfinite(sure.grad).all()


def test_entire_space_tells_of_items_nobody_clicked() -> None:
    # Of clicked items alone there is nothing to learn here; over all impressions the purchase logit falls.
    purchase = row(0.0).requires_grad_()
    losses.entire_space(row(0.0), purchase, row(0.0), row(5.0), row(0.0)).backward()
    assert purchase.grad.item() > 0.0


def test_uncertainty_by_hand() -> None:
    found = losses.uncertainty_weighted(torch.tensor([2.0, 3.0]), torch.tensor([0.0, math.log(2.0)]))
    assert found.item() == pytest.approx(2.0 + 1.5 + 0.5 * LN2)
    # For a fixed loss the best log variance is log(2 L).
    s = torch.tensor([math.log(2 * 0.7)], requires_grad=True)
    losses.uncertainty_weighted(torch.tensor([0.7]), s).backward()
    assert s.grad.item() == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize(
    "loss", [losses.pairwise_logistic, losses.lambda_loss, losses.listwise_softmax, losses.contrastive]
)
def test_a_batch_without_positives_costs_nothing_and_breaks_nothing(loss) -> None:
    logit = torch.zeros((2, 3), requires_grad=True)
    found = loss(logit, torch.zeros((2, 3)), torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 0.0]]))
    found.backward()
    assert found.item() == 0.0
    assert torch.isfinite(logit.grad).all()


@pytest.mark.parametrize("loss", [losses.pairwise_logistic, losses.lambda_loss, losses.listwise_softmax])
def test_descent_orders_the_items(loss) -> None:
    logit = torch.zeros((1, 4), dtype=torch.float64, requires_grad=True)
    gain = row(0.0, 3.0, 1.0, 2.0)
    optimiser = torch.optim.SGD([logit], lr=0.3)
    for _ in range(60):
        optimiser.zero_grad()
        loss(logit, gain, row(1, 1, 1, 1)).backward()
        optimiser.step()
    assert logit[0].argsort(descending=True).tolist() == [1, 3, 2, 0]
