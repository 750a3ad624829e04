"""Untrusted Keras files, read as data and rebuilt from allowed objects only."""
