"""Results of the paper's figures, one file for the figures of one question."""
