"""Optimizers."""

from tfplastic.optimizers.adam import adam
from tfplastic.optimizers.rmsprop import centered_rmsprop

__all__ = ["adam", "centered_rmsprop"]
