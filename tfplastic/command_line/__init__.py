"""The programs of `bin/`, a folder each: `command` acts on the options that `options` parses.

Their shared modules lie next to the folders. Nothing here imports TensorFlow on import: its import takes
seconds, and `--help`, unknown flags and missing files are handled before it.
"""
