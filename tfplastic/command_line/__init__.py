"""The programs of `bin/`, a folder each: `command` acts on the options that `options` parses.

Their shared modules lie next to the folders. Nothing here imports TensorFlow on import: its import takes
seconds, and `--help`, an unknown flag and a missing file are answered before it.
"""
