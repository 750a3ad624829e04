"""Value-based agents of TF-Agents: their settings, networks, losses and acting."""

from tfplastic.rl.agents.q_agents import QAgent, c51, double_dqn, dqn, rainbow
from tfplastic.rl.agents.quantile_agent import qr_dqn
from tfplastic.rl.agents.two_hot_agent import two_hot_dqn

__all__ = ["QAgent", "c51", "double_dqn", "dqn", "qr_dqn", "rainbow", "two_hot_dqn"]
