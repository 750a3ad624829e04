"""Streams of the field, each with its protocol."""
