"""Sections of the page, one file for each subject."""
