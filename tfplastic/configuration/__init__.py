"""From gin files to a training loop: parsing, trust, checks that all is read, devices, one-line errors.

Nothing here imports TensorFlow on import: a missing file or a malformed value is an error before it.
"""
