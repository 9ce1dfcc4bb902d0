"""What a statement's text names, told by PostgreSQL's lexical rules, and whether it may be planned.

Planning runs immutable and stable functions. A function hides behind more than a call: an
operator, a cast, ``alias.name``. So this reads words, which no syntax can hide, rather than a
syntax tree, and errs towards refusing.
"""

import re
from dataclasses import dataclass
from itertools import pairwise

LONGEST_TEXT = 20_000
_TOKEN = re.compile(
    r"""
      (?P<skip> \s+ | --[^\n]* | /\* (?: (?! /\* | \*/ ) . )* \*/ )
    | (?P<unclear> /\* | \$[^\W\d]*\w*\$ | [eEuU]&?' | [uU]&" )
    | (?P<string> [bBxXnN]? ' (?: [^'\\] | '' )* ' )
    | (?P<quoted> " (?: [^"] | "" )* " )
    | (?P<parameter> \$\d+ )
    | (?P<word> [^\W\d][\w$]* )
    | (?P<number> (?: \d | \.\d ) [\w.]* )
    | (?P<cast> :: )
    | (?P<operator> (?: (?! -- | /\* ) [-+*/<>=~!@\#%^&|`?] )+ )
    | (?P<mark> [()\[\],.:;] )
    """,
    re.VERBOSE | re.DOTALL,
)
_CHANGES = frozenset({"insert", "update", "delete", "merge"})
# those behind LIKE, IN, BETWEEN, NULLIF, CASE, USING and SIMILAR TO; they stand in no text
_IMPLIED = ("=", "<>", "<", ">", "<=", ">=", "~~", "!~~", "~~*", "!~~*", "~", "!~")
_TYPED = re.compile(r"\b(interval|date|timestamptz|timestamp|time)\s+(\$\d+)", re.IGNORECASE)


class UnreadableError(ValueError):
    """The text cannot be read with certainty; says why."""


@dataclass(frozen=True)
class Words:
    """What a statement names. ``kind`` is select, change or utility.

    ``calls`` may be functions, ``types`` may be types, ``names`` are all identifiers,
    ``parameters`` is the highest ``$n``; ``bounds`` maps the parameters of LIMIT and OFFSET to
    these words. ``locks`` when it asks for row locks, ``writes`` when it may change data.
    """

    kind: str
    names: frozenset[str]
    calls: frozenset[str]
    types: frozenset[str]
    operators: frozenset[str]
    parameters: int
    bounds: dict[int, str]
    locks: bool
    writes: bool


def _tokens(text: str) -> list[tuple[str, str]]:
    found, place = [], 0
    while place < len(text):
        match = _TOKEN.match(text, place)
        if match is None or match.lastgroup == "unclear":
            raise UnreadableError(
                f"its text cannot be read with certainty at character {place + 1}"
            )
        place = match.end()
        kind, value = match.lastgroup or "", match.group()
        if kind == "word":
            # PostgreSQL folds ASCII letters only, where the encoding has several bytes
            value = re.sub("[A-Z]+", lambda upper: upper.group().lower(), value)
        elif kind == "quoted":
            value = value[1:-1].replace('""', '"')
        if kind != "skip":
            found.append((kind, value))
    return found


def _pieces(operator: str) -> set[str]:
    size = len(operator)
    return {operator[i:j] for i in range(size) for j in range(i + 1, size + 1)}


def read(text: str) -> Words:
    """The words of one statement. Raises UnreadableError where they cannot be told."""
    if len(text) > LONGEST_TEXT:
        raise UnreadableError(f"its text is longer than {LONGEST_TEXT} characters")
    tokens = [("", ""), *_tokens(text.rstrip("; \t\r\n")), ("", "")]
    if ("mark", ";") in tokens:
        raise UnreadableError("its text holds more than one statement")
    names, calls, types, operators = set(), set(), set(), set(_IMPLIED)
    bounds: dict[int, str] = {}
    bare = []
    for before, (kind, value), after in zip(tokens, tokens[1:], tokens[2:], strict=False):
        if kind in ("word", "quoted"):
            names.add(value)
            if after[1] == "(" or before == ("mark", "."):
                calls.add(value)
            if before[0] == "cast" or before in (("mark", "."), ("word", "as")):
                types.add(value)
            if kind == "word" and before[1] != "." and after[1] != ".":
                bare.append(value)
        elif kind == "operator":
            operators |= _pieces(value)
        elif kind == "parameter" and before[1] in ("limit", "offset", "first", "next"):
            bounds[int(value[1:])] = "offset" if before[1] == "offset" else "limit"
    first = next((value for kind, value in tokens if kind == "word"), "")
    kind = "select" if first in ("select", "with") else "utility"
    parameters = [int(value[1:]) for kind, value in tokens if kind == "parameter"]
    return Words(
        kind="change" if first in _CHANGES else kind,
        names=frozenset(names),
        calls=frozenset(calls),
        types=frozenset(types),
        operators=frozenset(operators),
        parameters=max(parameters, default=0),
        bounds=bounds,
        locks=any(
            one == "for" and other in ("update", "share", "no", "key")
            for one, other in pairwise(bare)
        ),
        writes=bool({*_CHANGES, "into"}.intersection(bare)),
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
    """The text as PREPARE reads it: ``interval $1``, which no grammar allows, becomes a cast."""
    return _TYPED.sub(r"\2::\1", text.rstrip("; \t\r\n"))
