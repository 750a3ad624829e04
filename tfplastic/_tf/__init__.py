"""TensorFlow below Keras: programs that only read, variables of either Keras, replicas, keys and axes."""
