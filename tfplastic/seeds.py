"""One root seed, named sub-seeds.

Every random draw of this library comes from a key that is derived from the root seed and the names of its
purpose, so that adding a consumer of randomness (a diagnostic, an evaluation) changes no other consumer's
draws, and a run that is resumed needs its counters only, no generator state.
"""

import hashlib
import numbers

import numpy as np

from tfplastic import _renames
from tfplastic._checks import check_integer, shown

__getattr__ = _renames.module_getattr(__name__)


def derive(root: int, *names: str | int) -> np.ndarray:
    """Returns the sub-seed of `root` for `names`: the first 64 bits of BLAKE2b over the root and the names.

    Args:
        root: the root seed of a run, an integer from -2**63 to 2**63 - 1.
        *names: purpose of the seed, texts and integers, such as `'act', 1200`.

    Returns:
        `[2] int32`, the form that TensorFlow's stateless operations take.

    Raises:
        TypeError: `root` is not an integer, or one of the names is neither a text nor an integer.
        ValueError: `root` is outside its range.

    Example:
        >>> from tfplastic import seeds
        >>> seeds.derive(0, 'init').dtype.name, seeds.derive(0, 'init').shape
        ('int32', (2,))
        >>> bool((seeds.derive(0, 'init') == seeds.derive(1, 'init')).all())
        False
    """
    if not isinstance(root, numbers.Integral) or isinstance(root, bool):
        raise TypeError(f"`seed` must be an integer. Received: {shown(root)}")
    check_integer("seed", int(root), -(2**63), 2**63 - 1)
    for name in names:
        if not isinstance(name, str | numbers.Integral):
            raise TypeError(f"`names` must be texts and integers. Received: {shown(name)}")
    text = "\0".join([str(int(root)), *map(str, names)])
    return np.frombuffer(hashlib.blake2b(text.encode(), digest_size=8).digest(), np.int32)


def derive_integer(root: int, *names: str | int) -> int:
    """Returns `derive` as one integer in [0, 2**31), for libraries that take a Python integer.

    Example:
        >>> from tfplastic import seeds
        >>> 0 <= seeds.derive_integer(0, 'environment', 3) < 2**31
        True
    """
    return int(derive(root, *names)[0]) & 0x7FFFFFFF


def generator(key: np.ndarray) -> np.random.Generator:
    """Returns a numpy generator that starts at `key`: the same key gives the same draws.

    Args:
        key: `[2] int32` from `derive`.

    Raises:
        ValueError: `key` is something else.

    Example:
        >>> from tfplastic import seeds
        >>> key = seeds.derive(0, 'sample', 7)
        >>> bool(seeds.generator(key).random() == seeds.generator(key).random())
        True
    """
    words = np.asarray(key)
    if words.shape != (2,) or words.dtype.kind not in "iu" or np.any(words != words.astype(np.int32)):
        raise ValueError(f"`key` must be two int32 numbers, as from `derive`. Received: {shown(key)}")
    words = words.astype(np.uint32)
    return np.random.Generator(np.random.Philox(key=int(words[0]) | int(words[1]) << 32))
