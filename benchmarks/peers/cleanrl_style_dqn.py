"""The contender in CleanRL's style in atari_throughput.py: DQN as one plain PyTorch loop, run in blocks.

Written for this benchmark, with the structure and hyper-parameters of CleanRL's `dqn_atari`: eager PyTorch,
gymnasium's wrappers, SB3's replay buffer with shared next observations, Adam. Tuned, it also has
PyTorch's simple options: Adam in one kernel and images with their channels last. The driver starts it, in the
peers' environment; `blocks.py` says how they talk.
"""

import gymnasium
import numpy as np
import torch
from gymnasium.wrappers import FrameStackObservation
from stable_baselines3.common.buffers import ReplayBuffer
from torch import nn

from benchmarks.blocks import Watched, serve, settings
from benchmarks.peers.environment import make_atari

_DISCOUNT = 0.99


class QNetwork(nn.Module):
    """The Nature network: `[batch, 4, 84, 84]` pixels in [0, 255] to `[batch, actions]` Q-values.

    Args:
        num_actions: number of the game's actions.
        memory_format: memory format of images and kernels.
    """

    def __init__(self, num_actions: int, memory_format: torch.memory_format):
        super().__init__()
        self._memory_format = memory_format
        self.layers = nn.Sequential(
            nn.Conv2d(4, 32, 8, stride=4),
            nn.ReLU(),
            nn.Conv2d(32, 64, 4, stride=2),
            nn.ReLU(),
            nn.Conv2d(64, 64, 3, stride=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(3136, 512),
            nn.ReLU(),
            nn.Linear(512, num_actions),
        ).to(memory_format=memory_format)

    def forward(self, observation: torch.Tensor) -> torch.Tensor:
        return self.layers(observation.contiguous(memory_format=self._memory_format) / 255.0)


class Trainer:
    """DQN on one environment; `train` continues for a number of agent steps.

    Args:
        asked: the settings that the contenders share.
    """

    def __init__(self, asked: dict):
        self.environment = FrameStackObservation(make_atari(channel_axis=False), 4)
        space, actions = self.environment.observation_space, self.environment.action_space
        assert isinstance(actions, gymnasium.spaces.Discrete)
        self._num_actions = int(actions.n)
        self._asked = asked
        self._generator = np.random.default_rng(0)
        memory_format = torch.channels_last if asked["tuned"] else torch.contiguous_format
        self._q_network = QNetwork(self._num_actions, memory_format)
        self._target_network = QNetwork(self._num_actions, memory_format)
        self._target_network.load_state_dict(self._q_network.state_dict())
        self._optimizer = torch.optim.Adam(self._q_network.parameters(), lr=1e-4, fused=asked["tuned"])
        self.replay = ReplayBuffer(
            100_000, space, actions, "cpu", optimize_memory_usage=True, handle_timeout_termination=False
        )
        self._step = 0
        self._observation, info = self.environment.reset(seed=0)
        self._lives = info["lives"]

    def train(self, agent_steps: int) -> None:
        """Makes `agent_steps` agent steps, after the warm-up with a gradient step for every fourth."""
        for _ in range(agent_steps):
            action = self.act(self._observation)
            observation, reward, over, truncated, info = self.environment.step(action)
            life_lost, self._lives = info["lives"] < self._lives, info["lives"]
            row = (np.array([action]), np.sign([float(reward)]), np.array([over or life_lost]), [{}])
            self.replay.add(self._observation, observation, *row)
            self._observation = observation
            if over or truncated:
                self._observation, info = self.environment.reset()
                self._lives = info["lives"]
            self._step += 1
            if self._step > self._asked["warm_up_agent_steps"]:
                if self._step % 4 == 0:
                    self.gradient_step()
                if self._step % self._asked["target_update_agent_steps"] == 0:
                    self._target_network.load_state_dict(self._q_network.state_dict())

    def act(self, observation: np.ndarray) -> int:
        """An epsilon-greedy action, random during the warm-up."""
        warms_up = self._step < self._asked["warm_up_agent_steps"]
        if warms_up or self._generator.random() < self._asked["epsilon"]:
            return int(self._generator.integers(self._num_actions))
        with torch.no_grad():
            return int(self._q_network(torch.from_numpy(observation[None])).argmax())

    def gradient_step(self) -> None:
        """One step on the mean squared TD error of a batch of 32."""
        batch = self.replay.sample(32)
        with torch.no_grad():
            next_values = self._target_network(batch.next_observations).max(dim=1).values  # [batch]
            targets = batch.rewards.flatten() + _DISCOUNT * next_values * (1 - batch.dones.flatten())
        values = self._q_network(batch.observations).gather(1, batch.actions).squeeze(1)  # [batch]
        loss = nn.functional.mse_loss(targets, values)
        self._optimizer.zero_grad()
        loss.backward()
        self._optimizer.step()


def main() -> None:
    asked = settings()
    torch.set_num_threads(asked["threads"])
    torch.manual_seed(0)
    trainer = Trainer(asked)
    trainer.train(asked["warm_up_agent_steps"])
    watched = (
        Watched(trainer.environment, "step", "environment"),
        Watched(trainer.environment, "reset", "environment"),
        Watched(trainer, "act", "acting"),
        Watched(trainer.replay, "add", "replay add"),
        Watched(trainer.replay, "sample", "replay sample"),
        Watched(trainer, "gradient_step", "gradient step"),
    )
    about = {"optimizer": f"Adam 1e-4{', fused' if asked['tuned'] else ''}", "rest": "bookkeeping"}
    for agent_steps in serve(watched, about, ("torch", "stable-baselines3", "gymnasium", "ale-py", "numpy")):
        trainer.train(agent_steps)


if __name__ == "__main__":
    main()
