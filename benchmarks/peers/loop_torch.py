"""PyTorch in train_loop.py: a plain loop over gradient steps, eager or with the step compiled.

The driver starts it, in the peers' environment; `loop_blocks.py` says how they talk.
"""

import itertools

import torch
from torch import nn

from benchmarks.loop_blocks import (
    BETA_1,
    BETA_2,
    EPSILON,
    LEARNING_RATE,
    NUM_CLASSES,
    Problem,
    TakeSteps,
    data,
    serve,
)


def _model(problem: Problem, image_shape: tuple[int, ...]) -> nn.Module:
    channels, height, width = image_shape
    layers: list[nn.Module] = []
    for filters in problem.filters:
        layers += [nn.Conv2d(channels, filters, 3, stride=2, padding=1), nn.ReLU()]
        channels, height, width = filters, -(-height // 2), -(-width // 2)
    layers.append(nn.Flatten())
    units = [height * width * channels, *problem.hidden]
    for inputs, outputs in itertools.pairwise(units):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(units[-1], NUM_CLASSES))


def make(problem: Problem, fused: bool = False, compiled: bool = False) -> TakeSteps:
    """Gradient steps of a problem.

    Args:
        problem: the problem to train.
        fused: whether Adam is one kernel.
        compiled: whether the step, the optimizer included, is a program of `torch.compile`.
    """
    x, y = data()
    images = torch.from_numpy(x).permute(0, 3, 1, 2).contiguous()  # [examples, channels, height, width]
    labels = torch.from_numpy(y).long()
    model = _model(problem, tuple(images.shape[1:]))
    optimizer = torch.optim.Adam(
        model.parameters(), lr=LEARNING_RATE, betas=(BETA_1, BETA_2), eps=EPSILON, fused=fused
    )
    criterion = nn.CrossEntropyLoss()

    def step() -> tuple[torch.Tensor, torch.Tensor]:
        """The loss and the accuracy before the update."""
        indices = torch.randint(len(images), [problem.batch_size])
        batch, wanted = images[indices], labels[indices]
        logits = model(batch)
        loss = criterion(logits, wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            accuracy = (logits.argmax(dim=1) == wanted).float().mean()
        return loss.detach(), accuracy

    take_step = torch.compile(step) if compiled else step
    sums = torch.zeros(2)

    def take_steps(count: int) -> None:
        for _ in range(count):
            sums.add_(torch.stack(take_step()))

    return take_steps


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.manual_seed(0)
    serve(make, ("torch", "numpy"))
