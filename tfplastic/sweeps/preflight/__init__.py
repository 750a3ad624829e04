"""The check of every arm of an experiment before anything is trained, with its cost."""
