"""The statements that a gin configuration may hold: it is data, unless its reader trusts it more."""

import dataclasses
import os
import pathlib
from collections.abc import Sequence

import gin

from tfplastic.configuration.errors import UsageError

_LIBRARIES = ("tf_agents", "gin.singleton")


@dataclasses.dataclass(frozen=True)
class GinTrust:
    """The limits of a configuration.

    Attributes:
        imports: modules that may be imported, with all below them; None for any.
        is_own_text: whether the user wrote or named it. In others, such as that of a run directory,
            nothing is included, nothing is registered dynamically and no function of another library is
            called.
    """

    imports: Sequence[str] | None
    is_own_text: bool

    @classmethod
    def of_user(cls, allow_imports: bool) -> "GinTrust":
        """Returns the trust in files that the user names, with `--allow_imports` or without."""
        return cls(None if allow_imports else (), True)

    @classmethod
    def of_run(cls, trusted: Sequence[str] = ()) -> "GinTrust":
        """Returns the trust in the configuration of a run directory, with the user's trusted modules."""
        return cls(tuple(trusted), False)

    def check_import(self, module: str, source: str) -> None:
        """Checks an `import` or `from` statement.

        Args:
            module: the module that it names, complete.
            source: place of the statement.

        Raises:
            UsageError: the module is not one of `imports`.
        """
        if self.imports is None or any(
            module == name or module.startswith(f"{name}.") for name in self.imports
        ):
            return
        if self.is_own_text:
            raise UsageError(f"{source}: refused 'import {module}': if you trust it, give --allow_imports")
        text = "a run's configuration is read as data"
        is_gin = module.partition(".")[0] == "__gin__"
        remedy = ". Remove this line" if is_gin else f"; --trust_module={module} allows it"
        raise UsageError(f"{source}: refused 'import {module}': {text}{remedy}")

    def check_include(self, path: str, name: str, source: str, roots: Sequence[str]) -> None:
        """Checks an `include` statement.

        Args:
            path: path of the file that would be read.
            name: name of that file, as in the statement.
            source: place of the statement.
            roots: directories below which includes stay.

        Raises:
            UsageError: the file lies elsewhere.
        """
        if not self.is_own_text:
            text = "a run's configuration is read as data. Put the included statements into it"
            raise UsageError(f"{source}: refused 'include {name}': {text}")
        real = pathlib.Path(os.path.realpath(path))
        if not any(real.is_relative_to(os.path.realpath(root)) for root in roots):
            places = " and ".join(map(str, roots))
            text = f"refused 'include {name}': includes stay below {places}. Move the file there"
            raise UsageError(f"{source}: {text}")

    def check_references(self, references: Sequence[tuple[str, str]]) -> None:
        """Checks the functions that a configuration refers to, once their names are registered.

        Args:
            references: name without scopes and place of each reference.

        Raises:
            UsageError: one is of another library.
        """
        for name, source in () if self.is_own_text else references:
            for complete in gin.config._REGISTRY.matching_selectors(name):
                if complete.startswith(_LIBRARIES):
                    text = f"refused '@{name}', which is {complete}"
                    raise UsageError(
                        f"{source}: {text}: a run's configuration calls tfplastic's names only. Remove it"
                    )


USER = GinTrust.of_user(allow_imports=False)
"""For files that the user names without `--allow_imports`."""
