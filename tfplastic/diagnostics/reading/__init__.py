"""The reading of a model: layers, a recorded forward pass, masks, and programs over blocks of a batch."""
