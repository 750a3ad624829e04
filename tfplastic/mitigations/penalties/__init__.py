"""Mitigations that add a penalty to the loss."""
