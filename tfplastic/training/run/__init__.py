"""A run on disk: its directory, checkpoints, configuration, progress, and how it stops and fails."""
