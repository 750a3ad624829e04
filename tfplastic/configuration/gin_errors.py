"""Errors of gin as one line with the place, the name and the rule.

gin appends lines to the message of every error that passes through it ("In call to configurable ..."), for
readers of tracebacks. The author of a gin file needs the place in it, the name, the rule and the value.
"""

import contextlib
import inspect
import re
import types
from collections.abc import Iterator, Sequence

import gin

from tfplastic._text.lines import one_line
from tfplastic._text.near_names import near_matches
from tfplastic.configuration import gin_files
from tfplastic.configuration.errors import UsageError


@contextlib.contextmanager
def parsing(given: str) -> Iterator[None]:
    """Turns gin's parse errors into `UsageError`, with near matches for an unknown name.

    Args:
        given: text to parse, for an error that does not give its place.
    """
    try:
        yield
    except (ValueError, TypeError, KeyError, ImportError, OSError) as error:
        text = str(error)
        place = re.search(r'In file "(.*)", line (\d+)', text)  # gin appends the innermost file first.
        where = f"{place[1].removeprefix(f'{gin_files.root()}/')}:{place[2]}" if place else given
        raise UsageError(f"{where}: {_unknown_name(text) or own_words(text)}") from error


@contextlib.contextmanager
def finalizing(sources: Sequence[gin_files.Binding]) -> Iterator[None]:
    """Turns the errors of gin's final checks into `UsageError`.

    Args:
        sources: places of the bindings.
    """
    try:
        yield
    except ValueError as error:
        text = str(error)
        required = re.match(r"(\S+) set to `%gin.REQUIRED`", text)
        macro = re.match(r"No bindings specified for '(.*)/gin.macro'", text)
        if required:
            scope, _, name = required[1].rpartition("/")
            source = gin_files.source_of(sources, scope, *name.rsplit(".", 1))
            text = f"{source}: {required[1]} is required: give it in a later gin file or with --gin_bindings"
        elif macro:
            macros = [binding.selector for binding in sources if not binding.parameter]
            near = near_matches(macro[1], macros)
            text = f"the macro %{macro[1]} has no value. Give it one: {macro[1]} = VALUE.{near}"
        raise UsageError(one_line(text)) from error


@contextlib.contextmanager
def constructing(sources: Sequence[gin_files.Binding]) -> Iterator[None]:
    """Turns the errors of constructing the configured objects into `UsageError`.

    Args:
        sources: places of the bindings.
    """
    try:
        yield
    except (ValueError, TypeError, ImportError, OSError) as error:
        raise UsageError(_construction_error(error, sources)) from error
    except RecursionError as error:
        macros = [f"%{each.selector}" for each in sources if not each.parameter]
        rule = "values must not refer to each other in a circle"
        raise UsageError(f"{rule}. Look at {', '.join(macros) or 'the references with ()'}") from error
    except RuntimeError as error:  # gin's type where Python code requires a binding.
        if "Required bindings for " not in str(error):
            raise
        raise UsageError(own_words(str(error))) from error


def own_words(text: str) -> str:
    """Returns the message of an error on one line, without gin's additions."""
    added = r"\n  (?:In call to configurable|No values supplied by Gin|In file|In bindings string)"
    return one_line(re.split(added, text)[0])


def _unknown_name(text: str) -> str | None:
    parameter = re.search(r"Configurable '(.*?)' doesn't have a parameter named '(.*?)'", text)
    if parameter:
        near = near_matches(parameter[2], _parameters(parameter[1]))
        return f"unknown parameter '{parameter[1]}.{parameter[2]}'.{near}"
    name = re.search(r"No configurable matching (?:reference '@|')(.*?)(?:\(\))?'", text)
    if name:
        ours = [key for key, _ in gin.config._REGISTRY.items() if key.startswith("tfplastic.")]
        near = near_matches(name[1].split(".")[-1], [key.split(".")[-1] for key in ours])
        return f"unknown name '{name[1]}'.{near}"
    return None


def _parameters(selector: str) -> list[str]:
    return list(inspect.signature(gin.config._REGISTRY.get_match(selector).wrapped).parameters)


def _construction_error(error: Exception, sources: Sequence[gin_files.Binding]) -> str:
    text = str(error)
    message = own_words(text)
    argument = re.match(r"`(?:(\w+)\.)?(\w+)", message)
    call = re.search(r"In call to configurable '(.*?)' \(.*\)(?: in scope '(.*)')?", text)  # The innermost.
    if call is None or (argument and argument[1]):
        return _build_error(error, message, argument, sources)
    name, scope = call[1], call[2] or ""
    missing = re.search(r"missing (?:a|\d+) required (?:positional |keyword-only )?arguments?: (.*)", message)
    if missing:
        names = " and ".join(f"{name}.{parameter}" for parameter in re.findall(r"'(.*?)'", missing[1]))
        return f"no value for {names}: give it in a gin file or with --gin_bindings"
    source = gin_files.source_of(sources, scope, name, argument[2]) if argument else None
    return f"{f'{source}: ' if source else ''}{name}: {message}"


def _build_error(
    error: Exception, message: str, argument: re.Match[str] | None, sources: Sequence[gin_files.Binding]
) -> str:
    """Returns `_construction_error` for an error after construction, for example of a task that is built."""
    if argument is None:
        return message
    owner = argument[1] or _owner(error.__traceback__, argument[2])
    if owner is None:
        return message
    source = gin_files.source_of(sources, "", owner, argument[2])
    return f"{f'{source}: ' if source else ''}{'' if argument[1] else f'{owner}: '}{message}"


def _owner(traceback: types.TracebackType | None, argument: str) -> str | None:
    """Returns the innermost running configurable that has the argument."""
    found = None
    while traceback is not None:
        instance = traceback.tb_frame.f_locals.get("self")
        for selector, registered in gin.config._REGISTRY.items():
            if registered.wrapped in type(instance).__mro__ and argument in _parameters(selector):
                found = gin.config._REGISTRY.minimal_selector(selector)
        traceback = traceback.tb_next
    return found
