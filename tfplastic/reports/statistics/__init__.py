"""Statistics of the runs of a factorial experiment: its cells, the parts of its arms, rank correlation."""
