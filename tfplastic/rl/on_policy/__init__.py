"""Learning on policy: PPO's loss, rollouts and the task."""

from tfplastic.rl.on_policy.ppo_loss import PpoBatch, PpoLosses, ppo_clip_loss
from tfplastic.rl.on_policy.ppo_task import PpoTask

__all__ = ["PpoBatch", "PpoLosses", "PpoTask", "ppo_clip_loss"]
