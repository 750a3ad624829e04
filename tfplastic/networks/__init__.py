"""Builders of networks; normalisation, activation, width and head are arguments."""

from tfplastic.networks.nature_dqn import nature_dqn

__all__ = ["nature_dqn"]
