"""The course of one measurement, and its parts."""
