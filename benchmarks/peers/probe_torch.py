"""PyTorch in probe.py: a plain eager loop over the gradient steps of one target.

The driver starts it, in the peers' environment; `loop_blocks.py` says how they talk.
"""

import torch
from torch import nn

from benchmarks.loop_blocks import BETA_1, BETA_2, EPSILON, LEARNING_RATE, Problem, TakeSteps, serve
from benchmarks.peers.loop_torch import _model
from benchmarks.probe_problems import PROBLEMS, probe_data


def make(problem: Problem, fused: bool = False) -> TakeSteps:
    """Gradient steps of one target.

    Args:
        problem: the problem to train.
        fused: whether Adam is one kernel.
    """
    x, y = probe_data()
    images = torch.from_numpy(x).permute(0, 3, 1, 2).contiguous()  # [inputs, channels, height, width]
    targets = torch.from_numpy(y[0])
    model = _model(problem, tuple(images.shape[1:]))
    optimizer = torch.optim.Adam(
        model.parameters(), lr=LEARNING_RATE, betas=(BETA_1, BETA_2), eps=EPSILON, fused=fused
    )
    criterion = nn.MSELoss()
    losses = torch.zeros(())

    def take_steps(count: int) -> None:
        for _ in range(count):
            places = torch.randint(len(images), [problem.batch_size])
            loss = criterion(model(images[places]), targets[places])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.add_(loss.detach())

    return take_steps


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.manual_seed(0)
    serve(make, ("torch", "numpy"), PROBLEMS)
