"""Mitigations that keep gradients or weights within bounds."""
