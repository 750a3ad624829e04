"""Mitigations that change whole layers or the whole network now and then, or the state of its optimizer."""
