"""The text of gin files of earlier versions, with today's names (`_renames.table`)."""

import ast
import dataclasses
import io
import itertools
import re
import tokenize
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from tfplastic import _renames

_OLD = (
    *(*_renames.QUANTITIES, *_renames.STEP_STATISTICS, "BrownianTwin", "mitigations"),
    *(argument for arguments in _renames.ARGUMENTS.values() for argument in arguments),
)
_MAY_BE_OLD = re.compile(rf"\b(?:{'|'.join(_OLD)})\b")
_BY_QUANTITY = ("diagnostics", "diagnostics_periods", "diagnostics_losses")  # arguments with names as keys
_KEYWORDS = ("import", "from", "include")
_NOT_LAST = (
    "@BrownianTwin() stands before other mitigations, whose random draws were counted with it: "
    "bind train.twin = @BrownianTwin() and the others to train.mitigations, in a new run directory"
)


class Note(NamedTuple):
    """Remarks on a line.

    Attributes:
        line: from 1.
        text: without where it is.
    """

    line: int
    text: str


@dataclasses.dataclass
class Translated:
    """A gin text by today's names, line for line; lines that are new come last.

    Attributes:
        text: the translation.
        notes: notes on names that were replaced.
        refusals: parts without a translation, with the reason; they are left as they were.
        twin: whether `train.mitigations` held the Brownian twin; None if it is not bound.
    """

    text: str
    notes: list[Note] = dataclasses.field(default_factory=list)
    refusals: list[Note] = dataclasses.field(default_factory=list)
    twin: bool | None = None


def translate(text: str) -> Translated:
    r"""Returns a gin text by today's names.

    Names are replaced where they stand, in statements and references and where quantities are keys, as in
    `train.diagnostics_periods`. A Brownian twin among `train.mitigations` becomes `train.twin`. Text that is
    not gin is returned as it is: the parser reports the error.

    Args:
        text: text of a gin file, of bindings or of an operative config.

    Example:
        >>> from tfplastic._renames import gin_text
        >>> print(gin_text.translate('train.diagnostics = [@srank]\nsrank.delta = 0.1').text)
        train.diagnostics = [@feature_srank]
        feature_srank.delta = 0.1
    """
    if not _MAY_BE_OLD.search(text):
        return Translated(text)
    try:
        statements = list(_statements(text))
    except (tokenize.TokenError, SyntaxError):
        return Translated(text)
    found = _Translation(text)
    for statement in statements:
        found.take(statement)
    return found.finished()


class Renamer:
    """Translator of the texts of one configuration, in the order in which gin reads them."""

    def __init__(self) -> None:
        self._had_twin = False

    def __call__(self, text: str) -> Translated:
        """Returns `translate` of the text; its mitigations replace those of an earlier text and the twin."""
        translated = translate(text)
        if translated.twin is False and self._had_twin:
            translated.text = _with_line(translated.text, "train.twin = None")
        if translated.twin is not None:
            self._had_twin = translated.twin
        return translated


@dataclasses.dataclass(frozen=True)
class _Token:
    text: str
    row: int
    start: int
    end: int
    is_string: bool = False


@dataclasses.dataclass(frozen=True)
class _Statement:
    """`target = value`, or `target:` without a value, which is the `block` of the statements that follow."""

    block: str
    target: _Token
    value: list[_Token]

    @property
    def opens_block(self) -> bool:
        return not self.value

    @property
    def configurable(self) -> str:
        """With its scopes; '' for a macro."""
        if self.block or self.opens_block:
            return self.block or self.target.text
        return self.target.text.rpartition(".")[0]

    @property
    def argument(self) -> str:
        return "" if self.opens_block else self.target.text.rpartition(".")[2]

    def binds(self, argument: str) -> bool:
        """Returns whether it binds this argument of `train`."""
        return (self.configurable.rpartition("/")[2].rpartition(".")[2], self.argument) == ("train", argument)


class _Translation:
    """Replacement of tokens, statement by statement."""

    def __init__(self, text: str):
        self._text = text
        self._edits: dict[tuple[int, int, int], str] = {}  # {(row, start, end): text}
        self._values: dict[str, tuple[str, str]] = {}  # {target by today's names: (target, value)}
        self._result = Translated(text)
        self._twins: dict[str, str] = {}  # {scope with its slash: reference}

    def take(self, statement: _Statement) -> None:
        new = self._target(statement)
        statement = self._value(statement)
        if not statement.opens_block:
            self._check_merged(statement, new)
        if statement.binds("mitigations"):
            self._result.twin = False
        names_keys = any(map(statement.binds, _BY_QUANTITY)) or not statement.configurable
        if statement.binds("mitigations") or not statement.configurable:
            self._take_twin(statement)
        for token, following in itertools.zip_longest(statement.value, statement.value[1:]):
            if token.text.startswith("@"):
                self._replace(token, f"@{_renames.configurable(token.text[1:])}")
            elif token.is_string and names_keys and following is not None and following.text == ":":
                name = token.text[1:-1]
                quote = token.text[0]
                self._replace(token, f"{quote}{_renames.QUANTITIES.get(name, name)}{quote}")

    def finished(self) -> Translated:
        lines = self._text.split("\n")
        for (row, start, end), new in sorted(self._edits.items(), reverse=True):
            line = lines[row - 1]
            lines[row - 1] = line[:start] + new + line[end:]
        text = "\n".join(lines)
        for scope, reference in self._twins.items():
            text = _with_line(text, f"{scope}train.twin = {reference}()")
        self._result.text = text
        return self._result

    def _target(self, statement: _Statement) -> str:
        """Replaces the target; returns all of it, by today's names."""
        configurable, argument = statement.configurable, statement.argument
        if not configurable:
            return statement.target.text
        new, new_argument = _renames.configurable(configurable), _renames.argument(configurable, argument)
        if statement.opens_block:
            self._replace(statement.target, new)
        elif statement.block:
            self._replace(statement.target, new_argument)
        else:
            self._replace(statement.target, f"{new}.{new_argument}")
        return f"{new}.{new_argument}"

    def _value(self, statement: _Statement) -> _Statement:
        """Replaces a value that is another one under its name of today; returns the statement with it."""
        configurable, argument, value = statement.configurable, statement.argument, statement.value
        if not _renames.is_reciprocal(configurable, argument):
            return statement
        new_argument = _renames.argument(configurable, argument)
        text = "".join(token.text for token in value)
        old = f"{configurable}.{argument} = {text}"
        try:
            new = repr(_renames.value(configurable, argument, ast.literal_eval(text)))
        except (SyntaxError, ValueError):
            reason = f"{old} has no form today: bind {configurable}.{new_argument}, which is 1 / {argument}"
            self._result.refusals.append(Note(statement.target.row, reason))
            return statement
        self._result.notes.pop()  # of the name alone
        self._note(statement.target.row, old, f"{configurable}.{new_argument} = {new}")
        for token in value:
            self._edit(token, new if token is value[0] else "")
        return dataclasses.replace(statement, value=[dataclasses.replace(value[0], text=new)])

    def _check_merged(self, statement: _Statement, new: str) -> None:
        """Checks that two arguments that have become one had one value."""
        old = f"{statement.configurable}.{statement.argument}"
        value = "".join(token.text for token in statement.value)
        other, other_value = self._values.setdefault(new, (old, value))
        if other != old and other_value != value:
            text = (
                f"{other} = {other_value} and {old} = {value} are one argument now, {new}: give one of them "
                f"a scope, such as @step/{new.rpartition('.')[0]} and step/{new}"
            )
            self._result.refusals.append(Note(statement.target.row, text))
        self._values[new] = (old, value)

    def _take_twin(self, statement: _Statement) -> None:
        value = statement.value
        places = [place for place, token in enumerate(value) if _is_twin(token)]
        if not places or places == [0]:  # none, or one that is in no list
            return
        place = places[0]
        after = [token for token in value[place + 1 :] if token.text not in "(),]"]
        if len(places) > 1 or after:
            self._result.refusals.append(Note(statement.target.row, _NOT_LAST))
            return
        self._result.twin = True
        scope, slash, _ = statement.configurable.rpartition("/")
        self._twins = {f"{scope}{slash}": value[place].text}
        self._note(value[place].row, "@BrownianTwin() in train.mitigations", "train.twin = @BrownianTwin()")
        self._edit(value[place], "")
        call_end = place + 3  # the name, '(' and ')'
        for token in value[place + 1 : call_end]:
            self._edit(token, "")
        trailing = call_end < len(value) and value[call_end].text == ","
        if trailing:
            self._edit(value[call_end], "")
        if value[place - 1].text == ",":
            self._edit(value[place - 1], "")
        else:  # It was alone: no mitigations are '()', as by default.
            self._edit(value[0], "(")
            self._edit(value[-1], ")")

    def _replace(self, token: _Token, new: str) -> None:
        if new != token.text:
            self._edit(token, new)
            self._note(token.row, token.text.strip("@'\""), new.strip("@'\""))

    def _edit(self, token: _Token, new: str) -> None:
        self._edits[token.row, token.start, token.end] = new

    def _note(self, line: int, old: str, new: str) -> None:
        self._result.notes.append(
            Note(line, f"{old} is called {new} now; the old form ends with the next release")
        )


def _with_line(text: str, line: str) -> str:
    return text + ("" if text.endswith("\n") else "\n") + line + "\n"


def _is_twin(token: _Token) -> bool:
    return re.fullmatch(r"@(?:[\w./]+[/.])?BrownianTwin", token.text) is not None


def _statements(text: str) -> Iterator[_Statement]:
    block, line = "", []
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.DEDENT:
            block = ""
        elif token.type in (tokenize.NEWLINE, tokenize.ENDMARKER):
            statement = _statement(_joined(line), block)
            if statement is not None:
                yield statement
                block = statement.target.text if statement.opens_block else block
            line = []
        elif token.type not in (tokenize.NL, tokenize.COMMENT, tokenize.INDENT):
            (row, start), (_, end) = token.start, token.end
            line.append(_Token(token.string, row, start, end, token.type == tokenize.STRING))


def _statement(tokens: list[_Token], block: str) -> _Statement | None:
    if len(tokens) < 2 or tokens[0].text in _KEYWORDS or tokens[1].text not in ("=", ":"):
        return None
    return _Statement("" if tokens[1].text == ":" else block, tokens[0], tokens[2:])


def _joined(tokens: Iterable[_Token]) -> list[_Token]:
    """Joins names, their scopes and modules and the '@' before them into one token."""
    joined: list[_Token] = []
    for token in tokens:
        last = joined[-1] if joined else None
        if (
            last is not None
            and (last.row, last.end) == (token.row, token.start)
            and not last.is_string
            and re.fullmatch(r"@?[\w./]*", last.text + token.text)
            and not last.text[0].isdigit()
        ):
            joined[-1] = _Token(last.text + token.text, last.row, last.start, token.end)
        else:
            joined.append(token)
    return joined
