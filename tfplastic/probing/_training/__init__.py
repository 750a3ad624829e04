"""Training of copies of a network on the targets of a probe: side by side or one after another."""
