"""A queue of experiments whose finished runs are committed: `make runs`."""
