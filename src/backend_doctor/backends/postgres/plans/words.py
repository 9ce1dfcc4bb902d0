"""What a statement's text names, told by PostgreSQL's lexical rules, and whether it may be planned.

Planning runs immutable and stable functions. A function hides behind more than a call: an
operator, a cast, ``alias.name``. So this reads words, which no syntax can hide, rather than a
syntax tree, and errs towards refusing.
"""

import re
from functools import cache
from itertools import pairwise

import msgspec

LONGEST_TEXT = 20_000
# bytes; the server cuts a longer name, and so means another one (NAMEDATALEN - 1)
_LONGEST_NAME = 63
_LONGEST_NUMBER = 19
_CHANGES = frozenset({"insert", "update", "delete", "merge"})
# those behind LIKE, IN, BETWEEN, NULLIF, CASE, USING and SIMILAR TO; they stand in no text
_IMPLIED = ("=", "<>", "<", ">", "<=", ">=", "~~", "!~~", "~~*", "!~~*", "~", "!~")
_TYPES = frozenset({"interval", "date", "timestamptz", "timestamp", "time"})


@cache
def _token() -> "re.Pattern[str]":
    """Compiled when the first statement is read: most runs read none."""
    # as in scan.l: every character beyond ASCII belongs to a name, a no-break space too, and a
    # carriage return ends a comment
    return re.compile(
        r"""
          (?P<skip> [ \t\n\r\f]+ | --[^\n\r]* | /\* (?: (?! /\* | \*/ ) . )* \*/ )
        | (?P<unclear> /\* | \$ (?: [A-Za-z_\x80-\U0010ffff] [\w\x80-\U0010ffff]* )? \$
            | [eEuU]&?' | [uU]&" )
        | (?P<string> [bBxXnN]? ' (?: [^'\\] | '' )* ' )
        | (?P<quoted> " (?: [^"\x00-\x1f] | "" )* " )
        | (?P<parameter> \$\d+ )
        | (?P<word> [A-Za-z_\x80-\U0010ffff] [\w$\x80-\U0010ffff]* )
        | (?P<number> (?: \d | \.\d ) [\w.]* )
        | (?P<cast> :: )
        | (?P<operator> (?: (?! -- | /\* ) [-+*/<>=~!@\#%^&|`?] )+ )
        | (?P<mark> [()\[\],.:;] )
        """,
        re.VERBOSE | re.DOTALL | re.ASCII,
    )


class UnreadableError(ValueError):
    """The text cannot be read with certainty; says why."""


class Token(msgspec.Struct, frozen=True):
    """One token: ``kind`` is word, quoted, string, number, parameter, operator, cast or mark;
    a name's ``value`` is as the server keeps it; ``start`` and ``end`` are its place."""

    kind: str
    value: str
    start: int
    end: int


class Words(msgspec.Struct, frozen=True):
    """What a statement names. ``kind`` is select, change or utility.

    ``calls`` may be functions, ``names`` are all identifiers, ``parameters`` is the highest
    ``$n``; ``bounds`` maps the parameters of LIMIT and OFFSET to these words, and ``skips`` is the
    most rows that an OFFSET with a literal number skips. ``locks`` when it asks for row locks,
    ``writes`` when it may change data.
    """

    kind: str
    names: frozenset[str]
    calls: frozenset[str]
    operators: frozenset[str]
    parameters: int
    bounds: dict[int, str]
    locks: bool
    writes: bool
    skips: int = 0


def _name(kind: str, value: str) -> str:
    if kind == "word":
        # PostgreSQL folds ASCII letters only, where the encoding has several bytes
        value = re.sub("[A-Z]+", lambda upper: upper.group().lower(), value)
    elif kind == "quoted":
        value = value[1:-1].replace('""', '"')
    if kind in ("word", "quoted") and len(value.encode()) > _LONGEST_NAME:
        raise UnreadableError(f"it has a name longer than {_LONGEST_NAME} bytes")
    return value


def tokens(text: str) -> list[Token]:
    """The tokens of a text, comments left out. Raises UnreadableError where they cannot be told."""
    found, place = [], 0
    while place < len(text):
        match = _token().match(text, place)
        if match is None or match.lastgroup == "unclear":
            raise UnreadableError(
                f"its text cannot be read with certainty at character {place + 1}"
            )
        kind, place = match.lastgroup or "", match.end()
        if kind != "skip":
            found.append(Token(kind, _name(kind, match.group()), match.start(), match.end()))
    return found


def _pieces(operator: str) -> set[str]:
    size = len(operator)
    return {operator[i:j] for i in range(size) for j in range(i + 1, size + 1)}


def trimmed(text: str) -> str:
    """The text without what may end it: blanks and semicolons."""
    return text.rstrip("; \t\r\n")


def read(text: str) -> Words:
    """The words of one statement. Raises UnreadableError where they cannot be told."""
    if len(text) > LONGEST_TEXT:
        raise UnreadableError(f"its text is longer than {LONGEST_TEXT} characters")
    edge = Token("", "", 0, 0)
    found = [edge, *tokens(trimmed(text)), edge]
    if any(token.kind == "mark" and token.value == ";" for token in found):
        raise UnreadableError("its text holds more than one statement")
    names, calls, operators = set(), set(), set(_IMPLIED)
    bounds: dict[int, str] = {}
    bare = []
    for before, token, after in zip(found, found[1:], found[2:], strict=False):
        kind, value = token.kind, token.value
        if kind in ("word", "quoted"):
            # an encoding of one byte folds other letters too
            spelt = {value} if value.isascii() or kind == "quoted" else {value, value.lower()}
            names |= spelt
            if after.value == "(" or (before.kind, before.value) == ("mark", "."):
                calls |= spelt
            if kind == "word" and before.value != "." and after.value != ".":
                bare.append(value)
        elif kind == "operator":
            operators |= _pieces(value)
        elif kind == "parameter" and before.value in ("limit", "offset", "first", "next"):
            bounds[int(value[1:])] = "offset" if before.value == "offset" else "limit"
    first = next((token.value for token in found if token.kind == "word"), "")
    kind = "select" if first in ("select", "with") else "utility"
    skips = [
        int(token.value)
        for before, token in pairwise(found)
        if (before.kind, before.value) == ("word", "offset")
        # longer ones are no int8
        and token.value.isdecimal()
        and len(token.value) < _LONGEST_NUMBER
    ]
    numbers = [int(token.value[1:]) for token in found if token.kind == "parameter"]
    return Words(
        kind="change" if first in _CHANGES else kind,
        names=frozenset(names),
        calls=frozenset(calls),
        operators=frozenset(operators),
        parameters=max(numbers, default=0),
        bounds=bounds,
        locks=any(
            one == "for" and other in ("update", "share", "no", "key")
            for one, other in pairwise(bare)
        ),
        writes=bool({*_CHANGES, "into"}.intersection(bare)),
        skips=max(skips, default=0),
    )


def refusal(words: Words) -> str:
    """Why the text alone forbids to plan it, or ""."""
    if words.kind == "utility":
        return "it is a command that has no plan"
    if words.kind == "select" and words.locks:
        return "it locks rows; only a plain SELECT is planned"
    if words.kind == "change" or words.writes:
        return "it changes data; only a plain SELECT is planned"
    return ""


def plannable(text: str) -> str:
    """The text as PREPARE reads it: ``interval $1``, which no grammar allows, becomes a cast.

    Raises UnreadableError as :func:`tokens` does.
    """
    pieces, place = [], 0
    for one, other in pairwise(tokens(trimmed(text))):
        if one.kind == "word" and one.value in _TYPES and other.kind == "parameter":
            pieces += [text[place : one.start], f"{other.value}::{one.value}"]
            place = other.end
    return "".join((*pieces, trimmed(text)[place:]))
