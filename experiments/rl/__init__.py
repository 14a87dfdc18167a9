"""The regime of reinforcement learning: recurrent PPO on memory environments."""

from experiments.rl.config import Config
from experiments.rl.learning import Rollout, advantages, collect, initial_agents, learn, make_optimizer

__all__ = ["Config", "Rollout", "advantages", "collect", "initial_agents", "learn", "make_optimizer"]
