"""Plasticity in neural networks: measure it, reproduce it, fix it, report it."""

__version__ = "0.1.0"
