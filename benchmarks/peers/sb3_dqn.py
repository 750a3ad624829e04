"""The contender stable-baselines3 in atari_throughput.py: its DQN with CnnPolicy, run in blocks.

Hyper-parameters are those of RL Baselines3 Zoo for Atari where the benchmark's protocol leaves them open.
The driver starts it, in the peers' environment; `blocks.py` says how they talk.
"""

import gymnasium
import torch
from stable_baselines3 import DQN
from stable_baselines3.common.atari_wrappers import ClipRewardEnv, EpisodicLifeEnv
from stable_baselines3.common.vec_env import DummyVecEnv, VecFrameStack

from benchmarks.blocks import Watched, serve, settings
from benchmarks.peers.environment import make_atari


def main() -> None:
    asked = settings()
    torch.set_num_threads(asked["threads"])
    num_envs = asked["num_envs"]

    def environment() -> gymnasium.Env:
        return ClipRewardEnv(EpisodicLifeEnv(make_atari(channel_axis=True)))

    model = DQN(
        "CnnPolicy",
        VecFrameStack(DummyVecEnv([environment] * num_envs), n_stack=4),
        learning_rate=1e-4,
        buffer_size=100_000,
        learning_starts=asked["warm_up_agent_steps"],
        batch_size=32,
        train_freq=max(1, 4 // num_envs),  # calls of the environments
        gradient_steps=max(1, num_envs // 4),
        target_update_interval=asked["target_update_agent_steps"],
        exploration_initial_eps=asked["epsilon"],
        exploration_final_eps=asked["epsilon"],
        device="cpu",
        seed=0,
    )
    model.learn(asked["warm_up_agent_steps"])
    watched = (
        Watched(model.env, "step", "environment"),
        Watched(model, "predict", "acting"),
        Watched(model.replay_buffer, "add", "replay add"),
        Watched(model.replay_buffer, "sample", "replay sample"),
        Watched(model, "train", "gradient step"),
    )
    about = {"optimizer": "Adam 1e-4", "rest": "bookkeeping"}
    for agent_steps in serve(watched, about, ("stable-baselines3", "torch", "gymnasium", "ale-py", "numpy")):
        model.learn(agent_steps, log_interval=None, reset_num_timesteps=False)


if __name__ == "__main__":
    main()
