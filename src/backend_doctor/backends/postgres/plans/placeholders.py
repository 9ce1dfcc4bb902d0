"""Placeholders as drivers and ORM logs write them, rewritten to PostgreSQL's own ``$1``."""

from collections.abc import Iterator
from itertools import pairwise

from backend_doctor.backends.postgres.plans.words import Token, UnreadableError, tokens

# a value may follow these words; behind any other name, %, ? and : belong to an operator
_BEFORE_A_VALUE = frozenset(
    {"select", "distinct", "all", "any", "some", "where", "and", "or", "not", "on", "having",
     "between", "like", "ilike", "in", "is", "to", "from", "by", "then", "else", "when", "case",
     "limit", "offset", "first", "next", "set", "values", "returning", "using", "escape",
     "interval", "for", "symmetric", "array", "row", "only", "union", "except", "intersect"}
)  # fmt: skip
# these may stand right before a placeholder without a blank, as in "id=?" and "price*%s"
_JOINED = frozenset(
    ("=", "<>", "!=", "<", ">", "<=", ">=", "+", "-", "*", "/", "||", "~", "!~", "~~", "->", "->>")
)


class UnclearPlaceholderError(ValueError):
    """It cannot be told what is a placeholder; says which, and what to write instead."""

    def __init__(self, style: str, why: str) -> None:
        super().__init__(f"{why}\nWrite $1, $2 instead of {style}")


def _value_follows(before: Token | None) -> bool:
    if before is None or before.kind in ("operator", "cast"):
        return True
    if before.kind == "mark":
        return before.value in ("(", ",", "[")
    return before.kind == "word" and before.value in _BEFORE_A_VALUE


def _joined(found: list[Token], place: int, sign: str) -> bool:
    """Whether the operator at ``place`` ends in a placeholder's sign, by what stands before."""
    token = found[place]
    operator = token.value.removesuffix(sign)
    if not token.value.endswith(sign) or (operator and operator not in _JOINED):
        return False
    if operator == "<" and sign == "%":
        raise UnclearPlaceholderError("%s", "'<%' is an operator of PostgreSQL as well")
    return bool(operator) or _value_follows(found[place - 1] if place else None)


def _behind_percent(text: str, found: list[Token], place: int) -> tuple[str, int] | None:
    """The name and the end of ``%s`` or ``%(name)s`` whose sign is the operator at ``place``."""
    start = found[place].end
    if place + 1 < len(found) and found[place + 1].start == start:
        end = found[place + 1].end
        if text[start:end] == "s":
            return "", end
        named = found[place + 1 : place + 5]
        end = named[-1].end
        name = text[start + 1 : end - 2]
        if len(named) == 4 and text[start:end] == f"({name})s" and named[1].kind == "word":
            return name, end
    return None


def _placeholders(text: str, found: list[Token]) -> Iterator[tuple[str, str, int, int]]:
    """Style, name ("" without), start and end of each."""
    for place, token in enumerate(found):
        if token.kind == "operator" and token.value.endswith("?") and _joined(found, place, "?"):
            after = found[place + 1] if place + 1 < len(found) else None
            if after and after.start == token.end and after.kind in ("word", "number"):
                raise UnclearPlaceholderError("?", f"'?{after.value}' cannot be read for certain")
            yield "?", "", token.end - 1, token.end
        elif token.kind == "operator" and token.value.endswith("%"):
            behind = _behind_percent(text, found, place)
            if behind and _joined(found, place, "%"):
                yield "%s", behind[0], token.end - 1, behind[1]
        elif (token.kind, token.value) == ("mark", ":") and place + 1 < len(found):
            name, before = found[place + 1], found[place - 1] if place else None
            if name.kind != "word" or name.start != token.end or not _value_follows(before):
                continue
            if before is not None and before.value == "[":
                raise UnclearPlaceholderError(
                    ":name", f"'[:{name.value}' may be a part of an array or a placeholder"
                )
            yield ":name", text[name.start : name.end], token.start, name.end


def numbered(text: str) -> str:
    """The text with ``%s``, ``%(name)s``, ``:name`` and ``?`` as $1, $2, ...; one name, one number.

    What stands in quotes and comments stays, as do ``::type``, ``%`` and the operators ``?``,
    ``?|`` and ``?&``: a placeholder stands where a value may. A text that cannot be read with
    certainty stays as it is. Raises UnclearPlaceholderError where two readings make sense.
    """
    try:
        found = tokens(text)
    except UnreadableError:
        return text
    holders = list(_placeholders(text, found))
    if not holders:
        return text
    style = holders[0][0]
    others = {one[0] for one in holders} | {"$1" for one in found if one.kind == "parameter"}
    if len(others) > 1:
        raise UnclearPlaceholderError(
            style, f"the statement mixes placeholders: {', '.join(sorted(others))}"
        )
    in_lists = {
        other.start for one, other in pairwise(found) if (one.kind, one.value) == ("word", "in")
    }
    # drivers that read %s write the operator % twice
    doubled = [one for one in found if style == "%s" and one.value == "%%"]
    changes = [(one.start, one.end, "%") for one in doubled]
    numbers: dict[str, int] = {}
    for count, (_, name, start, end) in enumerate(holders):
        number = f"${numbers.setdefault(name or str(count), len(numbers) + 1)}"
        changes.append((start, end, f"({number})" if start in in_lists else number))
    pieces, place = [], 0
    for start, end, instead in sorted(changes):
        pieces += [text[place:start], instead]
        place = end
    return "".join((*pieces, text[place:]))
