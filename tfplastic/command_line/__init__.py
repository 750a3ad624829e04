"""The programs of `bin/`, a folder each: `command` acts on what `options` reads from the command line.

What they share lies beside them. Nothing here imports TensorFlow on import: its import takes seconds, and
`--help`, an unknown flag and a missing file are answered before it.
"""
