"""MinAtar (Young and Tian 2019): environment and games, from the optional package `minatar`."""

from tfplastic.rl.minatar.environment import MinAtarEnvironment, MinAtarProtocol

__all__ = ["MinAtarEnvironment", "MinAtarProtocol"]
