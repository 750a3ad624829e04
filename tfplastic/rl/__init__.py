"""TF-Agents agents on the Arcade Learning Environment and MinAtar. The only importer of tf_agents and ale_py.

Units: the training loop counts gradient steps; here agent steps (decisions) appear too, of which the paper's
protocol has 4 per gradient step, and emulator frames, of which there are 4 per agent step on Atari and 1
on MinAtar.
"""

from tfplastic import _renames
from tfplastic.rl import _tf_agents

try:
    with _tf_agents.notices_held_back():
        import ale_py  # noqa: F401
        import tf_agents  # noqa: F401

        _tf_agents.mend()
except ImportError as error:
    raise ImportError(
        f"tfplastic.rl needs {error.name}: "
        "pip install 'tfplastic[rl]' && pip install --no-deps tf-agents==0.19.0"
    ) from error

from tfplastic.rl.agents import QAgent, c51, double_dqn, dqn, rainbow
from tfplastic.rl.agents.acting import LinearEpsilon, epsilon_greedy
from tfplastic.rl.agents.q_network import QNetwork
from tfplastic.rl.agents.quantile_agent import qr_dqn, quantile_huber_loss
from tfplastic.rl.agents.two_hot_agent import two_hot_dqn
from tfplastic.rl.atari import AtariEnvironment, AtariProtocol
from tfplastic.rl.atari_task import AtariTask
from tfplastic.rl.mdp_task import ClassificationMdpTask
from tfplastic.rl.minatar import MinAtarEnvironment, MinAtarProtocol
from tfplastic.rl.minatar_task import MinAtarTask
from tfplastic.rl.on_policy import PpoBatch, PpoLosses, PpoTask, ppo_clip_loss
from tfplastic.rl.playing.evaluation import Evaluation
from tfplastic.rl.playing.game_sequence import GameSequence
from tfplastic.rl.playing.player import Player
from tfplastic.rl.q_learner import QLearner
from tfplastic.rl.replay import FrameReplay, Prioritization, PrioritizedReplay
from tfplastic.rl.replay.graph_replay import GraphReplay

__all__ = [
    "AtariEnvironment",
    "AtariProtocol",
    "AtariTask",
    "ClassificationMdpTask",
    "Evaluation",
    "FrameReplay",
    "GameSequence",
    "GraphReplay",
    "LinearEpsilon",
    "MinAtarEnvironment",
    "MinAtarProtocol",
    "MinAtarTask",
    "Player",
    "PpoBatch",
    "PpoLosses",
    "PpoTask",
    "PrioritizedReplay",
    "Prioritization",
    "QAgent",
    "QLearner",
    "QNetwork",
    "c51",
    "double_dqn",
    "dqn",
    "epsilon_greedy",
    "ppo_clip_loss",
    "qr_dqn",
    "quantile_huber_loss",
    "rainbow",
    "two_hot_dqn",
]

__getattr__ = _renames.module_getattr(__name__)
