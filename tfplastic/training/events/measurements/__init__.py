"""Events that measure the network: diagnostics, probes, and scores that few runs need."""
