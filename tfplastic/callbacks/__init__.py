"""Keras callbacks, for models that `fit` trains."""

from tfplastic import _renames
from tfplastic.callbacks.apply_mitigation import ApplyMitigation
from tfplastic.callbacks.plasticity_diagnostics import PlasticityDiagnostics

__all__ = ["ApplyMitigation", "PlasticityDiagnostics"]

__getattr__ = _renames.module_getattr(__name__)
