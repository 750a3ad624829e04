"""Keras callbacks, for models that `fit` trains."""

from tfplastic import _renames
from tfplastic.callbacks.apply_mitigation import ApplyMitigation
from tfplastic.callbacks.plasticity_alarm import PlasticityAlarm
from tfplastic.callbacks.plasticity_diagnostics import PlasticityDiagnostics
from tfplastic.callbacks.threshold import Threshold

__all__ = ["ApplyMitigation", "PlasticityAlarm", "PlasticityDiagnostics", "Threshold"]

__getattr__ = _renames.module_getattr(__name__)
