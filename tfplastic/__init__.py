"""Plasticity in neural networks: measure it, reproduce it, fix it, report it.

The subpackages load on first use (PEP 562), so `import tfplastic as tp` costs nothing and needs nothing:
TensorFlow comes with the first subpackage that uses it, TF-Agents and the emulator with `tp.rl`.

Example:
    >>> import tfplastic as tp
    >>> tp.seeds.derive(0, 'init').shape
    (2,)
"""

import importlib
from types import ModuleType

from tfplastic import _renames
from tfplastic._renames import modules

__version__ = "0.2.0"

__all__ = [
    "callbacks",
    "diagnostics",
    "layers",
    "linalg",
    "mitigations",
    "networks",
    "optimizers",
    "probing",
    "reports",
    "rl",
    "run_format",
    "seeds",
    "sweeps",
    "tasks",
    "training",
    "writers",
]

modules.install()


def __getattr__(name: str) -> ModuleType:
    if name in __all__:
        return importlib.import_module(f"{__name__}.{name}")
    raise _renames.unknown_attribute(__name__, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
