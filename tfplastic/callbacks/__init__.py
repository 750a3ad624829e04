"""Keras callbacks, for models that `fit` trains."""

from tfplastic.callbacks.plasticity_diagnostics import PlasticityDiagnostics

__all__ = ["PlasticityDiagnostics"]
