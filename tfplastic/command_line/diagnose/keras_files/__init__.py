"""Keras files of strangers, read as data, and rebuilt from the objects that may be named."""
