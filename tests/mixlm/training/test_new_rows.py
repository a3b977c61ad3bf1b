import pytest
import torch
from torch import nn

from mixlm.training.new_rows import NewRows


class Toy(nn.Module):
    """A tied or untied language model of two matrices."""

    def __init__(self, tied: bool = True) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embed, self.head = nn.Embedding(6, 4), nn.Linear(4, 6, bias=False)
        if tied:
            self.head.weight = self.embed.weight

    def get_input_embeddings(self) -> nn.Module:
        return self.embed

    def get_output_embeddings(self) -> nn.Module:
        return self.head

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.head(self.embed(ids))


def distinct(model: Toy) -> list[nn.Parameter]:
    return list({id(parameter): parameter for parameter in model.parameters()}.values())


@pytest.mark.parametrize("kind", [torch.optim.AdamW, torch.optim.Adam, torch.optim.SGD])
def test_scaled_steps_equal_separate_parameters(kind: type) -> None:
    """Rows 4 and 5 at ten times the rate = rows 4 and 5 as parameters of their own with ten times the rate."""
    model = Toy()
    whole = model.embed.weight
    start, gradients = whole.detach().clone(), torch.randn(30, 6, 4)
    options = {} if kind is torch.optim.Adam else {"weight_decay": 0.1}

    optimizer = kind([whole], lr=1e-2, **options)
    NewRows(model, [4, 5], rate=1e-1).give_own_rate(optimizer)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (1 + step))

    old, new = nn.Parameter(start[:4].clone()), nn.Parameter(start[4:].clone())
    reference = kind([{"params": [old]}, {"params": [new], "lr": 1e-1}], lr=1e-2, **options)
    reference_schedule = torch.optim.lr_scheduler.LambdaLR(reference, lambda step: 1 / (1 + step))

    for gradient in gradients:
        whole.grad = gradient.clone()
        old.grad, new.grad = gradient[:4].clone(), gradient[4:].clone()
        for stepper in (optimizer, schedule, reference, reference_schedule):
            stepper.step()
    torch.testing.assert_close(whole.detach(), torch.cat([old, new]).detach(), atol=1e-6, rtol=1e-5)
    assert (whole[4:] - start[4:]).norm() > 3 * (whole[:4] - start[:4]).norm()


@pytest.mark.parametrize("tied", [True, False])
def test_distance_is_the_mean_over_rows_and_matrices(tied: bool) -> None:
    model = Toy(tied)
    watch = NewRows(model, [4, 5], rate=1e-2)
    assert watch.distance() == 0.0
    with torch.no_grad():
        for matrix in distinct(model):
            matrix[4] += torch.tensor([3.0, 4.0, 0.0, 0.0])
            matrix[0] += 1.0  # an old row: not watched
    assert watch.distance() == pytest.approx(2.5)
