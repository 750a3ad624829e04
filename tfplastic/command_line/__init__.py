"""What the programs in `bin/` share: flags, gin files, devices. Nothing here imports TensorFlow on import.

TensorFlow's import takes seconds; `--help`, an unknown flag and a missing file are answered before it.
"""
