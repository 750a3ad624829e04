"""Mitigations that make single units fresh."""
