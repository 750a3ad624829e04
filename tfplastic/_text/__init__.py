"""Text of messages: one line, short values, lengths of time, names that are near, names of the programs."""
