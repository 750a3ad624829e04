"""The composition of gin files, in any order, to one configuration."""
