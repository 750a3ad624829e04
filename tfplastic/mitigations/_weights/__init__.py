"""The weights of a model as mitigations read and change them."""
