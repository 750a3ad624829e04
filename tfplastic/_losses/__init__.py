"""The loss of a model, which is one thing: for diagnostics, operators, callbacks and probes."""
