"""The contender in CleanRL's style in atari_throughput.py: DQN as one plain PyTorch loop, run in blocks.

Written for this benchmark, with the structure and hyper-parameters of CleanRL's `dqn_atari`: eager PyTorch,
gymnasium's wrappers, SB3's replay buffer with shared next observations, Adam. Tuned, it also has
PyTorch's simple options: Adam in one kernel and images with their channels last, which layer normalization
takes as they lie in memory. Double DQN and layer normalization are as in `gin/atari_dqn_ln.gin`.
The driver starts it, in the peers' environment; `blocks.py` says how they talk.
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


class ImageNorm(nn.Module):
    """Layer normalization of images `[batch, channels, height, width]` whose channels lie last in memory."""

    def __init__(self, channels: int, size: int):
        super().__init__()
        self.norm = nn.LayerNorm([size, size, channels])

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.norm(images.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class QNetwork(nn.Module):
    """The Nature network: `[batch, 4, 84, 84]` pixels in [0, 255] to `[batch, actions]` Q-values.

    Args:
        num_actions: number of the game's actions.
        has_norm: whether layer normalization precedes each ReLU, with a gain and an offset for each feature.
        memory_format: memory format of images and kernels.
    """

    def __init__(self, num_actions: int, has_norm: bool, memory_format: torch.memory_format):
        super().__init__()
        self._memory_format = memory_format

        def after(channels: int, size: int) -> list[nn.Module]:
            if not has_norm:
                return [nn.ReLU()]
            if memory_format == torch.channels_last:
                return [ImageNorm(channels, size), nn.ReLU()]
            return [nn.LayerNorm([channels, size, size]), nn.ReLU()]

        self.layers = nn.Sequential(
            nn.Conv2d(4, 32, 8, stride=4),
            *after(32, 20),
            nn.Conv2d(32, 64, 4, stride=2),
            *after(64, 9),
            nn.Conv2d(64, 64, 3, stride=1),
            *after(64, 7),
            nn.Flatten(),
            nn.Linear(3136, 512),
            *([nn.LayerNorm(512)] if has_norm else []),
            nn.ReLU(),
            nn.Linear(512, num_actions),
        ).to(memory_format=memory_format)

    def forward(self, observation: torch.Tensor) -> torch.Tensor:
        return self.layers(observation.contiguous(memory_format=self._memory_format) / 255.0)


class Trainer:
    """DQN or Double DQN on environments side by side; `train` continues for a number of agent steps.

    Args:
        asked: the settings that the contenders share.
    """

    def __init__(self, asked: dict):
        num_envs = asked["num_envs"]
        self.environments = [
            FrameStackObservation(make_atari(channel_axis=False), 4) for _ in range(num_envs)
        ]
        space, actions = self.environments[0].observation_space, self.environments[0].action_space
        assert isinstance(actions, gymnasium.spaces.Discrete)
        self._num_actions = int(actions.n)
        self._asked = asked
        self._generator = np.random.default_rng(0)
        memory_format = torch.channels_last if asked["tuned"] else torch.contiguous_format
        self._q_network = QNetwork(self._num_actions, asked["norm"], memory_format)
        self._target_network = QNetwork(self._num_actions, asked["norm"], memory_format)
        self._target_network.load_state_dict(self._q_network.state_dict())
        self._optimizer = torch.optim.Adam(self._q_network.parameters(), lr=1e-4, fused=asked["tuned"])
        self.replay = ReplayBuffer(
            100_000,
            space,
            actions,
            "cpu",
            num_envs,
            optimize_memory_usage=True,
            handle_timeout_termination=False,
        )
        self._step = self._gradient_steps = 0
        starts = [environment.reset(seed=index) for index, environment in enumerate(self.environments)]
        self._observations = np.stack([observation for observation, _ in starts])
        self._lives = [info["lives"] for _, info in starts]

    def train(self, agent_steps: int) -> None:
        """Makes `agent_steps` agent steps, after the warm-up with a gradient step for every fourth."""
        asked, until = self._asked, self._step + agent_steps
        while self._step < until:
            self._play()
            due = (self._step - asked["warm_up_agent_steps"]) // 4
            while self._gradient_steps < due:
                self.gradient_step()
                self._gradient_steps += 1
                if self._gradient_steps % (asked["target_update_agent_steps"] // 4) == 0:
                    self._target_network.load_state_dict(self._q_network.state_dict())

    def _play(self) -> None:
        """Takes one agent step in each environment."""
        actions = self.act(self._observations)
        count = len(self.environments)
        played, rewards, ends = [], np.zeros(count, np.float32), np.zeros(count, bool)
        following = []
        for i, environment in enumerate(self.environments):
            observation, reward, over, truncated, info = environment.step(int(actions[i]))
            rewards[i], ends[i] = np.sign(float(reward)), over or info["lives"] < self._lives[i]
            played.append(observation)
            if over or truncated:
                observation, info = environment.reset()
            following.append(observation)
            self._lives[i] = info["lives"]
        self.replay.add(self._observations, np.stack(played), actions, rewards, ends, [{}] * count)
        self._observations = np.stack(following)
        self._step += count

    def act(self, observations: np.ndarray) -> np.ndarray:
        """Epsilon-greedy actions, random during the warm-up."""
        actions = self._generator.integers(self._num_actions, size=len(observations))
        warms_up = self._step < self._asked["warm_up_agent_steps"]
        explores = self._generator.random(len(observations)) < self._asked["epsilon"]
        if warms_up or explores.all():
            return actions
        with torch.no_grad():
            best = self._q_network(torch.from_numpy(observations)).argmax(dim=1).numpy()
        return np.where(explores, actions, best)

    def gradient_step(self) -> None:
        """One step on the mean squared TD error of a batch of 32."""
        batch = self.replay.sample(32)
        with torch.no_grad():
            next_values = self._next_values(batch.next_observations)  # [batch]
            targets = batch.rewards.flatten() + _DISCOUNT * next_values * (1 - batch.dones.flatten())
        values = self._q_network(batch.observations).gather(1, batch.actions).squeeze(1)  # [batch]
        loss = nn.functional.mse_loss(targets, values)
        self._optimizer.zero_grad()
        loss.backward()
        self._optimizer.step()

    def _next_values(self, observations: torch.Tensor) -> torch.Tensor:
        """Values `[batch]` of the best next actions: those of the target network, or with Double DQN ours."""
        values = self._target_network(observations)
        if not self._asked["double"]:
            return values.max(dim=1).values
        best = self._q_network(observations).argmax(dim=1, keepdim=True)
        return values.gather(1, best).squeeze(1)


def main() -> None:
    asked = settings()
    torch.set_num_threads(asked["threads"])
    torch.manual_seed(0)
    trainer = Trainer(asked)
    trainer.train(asked["warm_up_agent_steps"])
    watched = (
        *(Watched(each, "step", "environment") for each in trainer.environments),
        *(Watched(each, "reset", "environment") for each in trainer.environments),
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
