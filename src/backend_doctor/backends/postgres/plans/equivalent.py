"""The SELECT that finds the rows of an UPDATE or DELETE, so that a role that may only read has a
plan of it: the text's own clauses, cut out at its tokens, none of them rewritten."""

from collections.abc import Iterable, Sequence
from itertools import takewhile

from backend_doctor.backends.postgres.plans.words import Token, tokens, trimmed

_VERBS = {"insert": "inserts", "merge": "merges", "update": "updates", "delete": "deletes"}
_FIND = ("update", "delete")
# so many words alike are the same place
_FAR = 50


class NoEquivalentError(ValueError):
    """No SELECT finds the same rows; says why."""


def _bare(found: Sequence[Token], place: int, word: str) -> bool:
    """Whether a token is that keyword, rather than part of a qualified name."""
    token = found[place]
    dotted = {found[near].value for near in (place - 1, place + 1) if 0 <= near < len(found)}
    return token.kind == "word" and token.value == word and "." not in dotted


def _top(found: Sequence[Token]) -> list[bool]:
    """Which tokens stand in no parentheses."""
    depth, top = 0, []
    for token in found:
        depth -= token.kind == "mark" and token.value in ")]"
        top.append(depth == 0)
        depth += token.kind == "mark" and token.value in "(["
    return top


def _verb(found: Sequence[Token], top: Sequence[bool]) -> int:
    """The place of the one verb that changes data."""
    verbs = [
        place
        for place in range(len(found))
        if any(_bare(found, place, verb) for verb in _VERBS)
        and not (place and found[place - 1].value in ("for", "key"))
    ]
    first = found[verbs[0]].value if verbs else ""
    if first not in _FIND:
        raise NoEquivalentError(
            f"it {_VERBS.get(first, 'changes')} rows; only SELECT, UPDATE and DELETE are planned"
        )
    if len(verbs) != 1 or not top[verbs[0]]:
        raise NoEquivalentError("it changes data in more than one place, or within a WITH")
    return verbs[0]


def _clauses(
    found: Sequence[Token], top: Sequence[bool], start: int, keywords: Sequence[str]
) -> dict[str, tuple[int, int]]:
    """Where each clause's tokens begin and end; the one without a keyword is ""."""
    marks = [("", start - 1)]
    for place in range(start, len(found)):
        keyword = next((word for word in keywords if _bare(found, place, word)), None)
        if keyword is None or not top[place] or found[place - 1].value == "distinct":
            continue
        if keyword == "using" and any(one == "using" for one, _ in marks):
            continue
        marks.append((keyword, place))
    order = ["", *keywords]
    if [order.index(word) for word, _ in marks] != sorted({order.index(word) for word, _ in marks}):
        raise NoEquivalentError("its clauses cannot be told apart with certainty")
    ends = [place for _, place in marks[1:]] + [len(found)]
    return {word: (place + 1, end) for (word, place), end in zip(marks, ends, strict=True)}


def _reference(target: Sequence[Token]) -> Token:
    """The name by which the changed table's columns are called."""
    names = [token for token in target if token.kind in ("word", "quoted")]
    plain = all(token.kind in ("word", "quoted") or token.value in ".*" for token in target)
    if not names or not plain:
        raise NoEquivalentError("the table that it changes cannot be told with certainty")
    return names[-1]


def _renumbered(text: str) -> str:
    """The same with placeholders from $1 on without a gap: those of SET are gone."""
    found = [token for token in tokens(text) if token.kind == "parameter"]
    numbers = sorted({int(token.value[1:]) for token in found})
    pieces, place = [], 0
    for token in found:
        pieces += [text[place : token.start], f"${numbers.index(int(token.value[1:])) + 1}"]
        place = token.end
    return "".join((*pieces, text[place:]))


def _words(found: Sequence[Token]) -> list[tuple[str, str]]:
    # placeholders were numbered anew
    return [(one.kind, one.value * (one.kind != "parameter")) for one in found]


def _alike(one: Iterable[object], other: Iterable[object]) -> int:
    """How many first members are equal."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def typed_place(planned: str, position: int, typed: str) -> int | None:
    """The character of the typed text, from 1 on, that stands at ``position`` of the one planned
    instead of it: where most words around it are alike. None where that is not one place.

    Raises UnreadableError as the lexer does.
    """
    theirs, found = tokens(planned), tokens(typed)
    here = sum(one.end < position for one in theirs)
    mine, said = _words(theirs), _words(found)
    behind, ahead = mine[:here][::-1], mine[here:]

    def around(at: int) -> int:
        follow = _alike(ahead, said[at : at + _FAR])
        return follow and follow + _alike(behind, said[max(0, at - _FAR) : at][::-1])

    alike = [around(at) for at in range(len(said))]
    most = max(alike, default=0)
    return found[alike.index(most)].start + 1 if most and alike.count(most) == 1 else None


def finding_rows(text: str) -> str:
    """The SELECT of the rows that one UPDATE or DELETE changes, placeholders numbered anew.

    It is not checked to be safe: read it as any other text. Raises NoEquivalentError, and
    UnreadableError as the lexer does.
    """
    text = trimmed(text)
    found = tokens(text)
    top = _top(found)
    verb = _verb(found, top)
    start, keywords = verb + 1, ["set", "from", "where", "returning"]
    if found[verb].value == "delete":
        start, keywords = verb + 2, ["using", "where", "returning"]
        if verb + 1 >= len(found) or not _bare(found, verb + 1, "from"):
            raise NoEquivalentError("its clauses cannot be told apart with certainty")
    clauses = _clauses(found, top, start, keywords)
    if "set" in keywords and clauses.get("set", (0, 0))[0] == clauses.get("set", (0, 0))[1]:
        raise NoEquivalentError("it has no SET")
    for name in ("set", "returning"):
        if any(_bare(found, place, "select") for place in range(*clauses.get(name, (0, 0)))):
            raise NoEquivalentError("it computes values by a subquery, so no SELECT is like it")

    def cut(name: str) -> str:
        first, end = clauses.get(name, (0, 0))
        return text[found[first].start : found[end - 1].end] if first < end else ""

    where = cut("where")
    if where.lower().split()[:2] == ["current", "of"]:
        raise NoEquivalentError("it changes the row of a cursor")
    reference = _reference(found[slice(*clauses[""])])
    others = cut("using") or cut("from")
    return _renumbered(
        f"{text[: found[verb].start]}SELECT {text[reference.start : reference.end]}.ctid"
        f" FROM {cut('')}{f', {others}' if others else ''}{f' WHERE {where}' if where else ''}"
    )
