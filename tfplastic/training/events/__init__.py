"""Events of a run: all that happens between its gradient steps, at exactly their steps."""
