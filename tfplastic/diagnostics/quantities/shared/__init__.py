"""Computations that several families of quantities share."""
