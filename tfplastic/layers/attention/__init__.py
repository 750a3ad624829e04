"""Layers of networks with attention."""
