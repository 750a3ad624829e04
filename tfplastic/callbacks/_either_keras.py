"""Callbacks that `fit` of either Keras can call, whichever of the two `tf.keras` is."""

from tfplastic._keras import keras


class CallbackOfEither(keras.callbacks.Callback):
    """Base of callbacks; answers the questions of Keras 2, which a callback of Keras 3 does not know."""

    def _implements_train_batch_hooks(self) -> bool:
        return self._overrides("on_batch_begin", "on_batch_end", "on_train_batch_begin", "on_train_batch_end")

    def _implements_test_batch_hooks(self) -> bool:
        return self._overrides("on_test_batch_begin", "on_test_batch_end")

    def _implements_predict_batch_hooks(self) -> bool:
        return self._overrides("on_predict_batch_begin", "on_predict_batch_end")

    def _overrides(self, *methods: str) -> bool:
        base = keras.callbacks.Callback
        return any(getattr(type(self), name) is not getattr(base, name) for name in methods)
