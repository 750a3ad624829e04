"""The pure optimizers' forms for Keras."""
