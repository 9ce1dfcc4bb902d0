"""Reads one condition of a plan as EXPLAIN writes it: which column is compared, and how."""

import re

import msgspec

from backend_doctor.backends.sql import mask_literals
from backend_doctor.text import shorten

_NAME = r'(?: "(?:[^"]|"")*" | [^\W\d][\w$]* )'
# patterns as texts: re compiles them with the first plan, and most runs read none
_COMPARED = rf"""(?xs)
    \(? (?P<owner>{_NAME}) \. (?P<column>{_NAME}) \)? (?: :: (?P<cast>[\w ]+) )?
    \ (?P<operator> = | < | <= | > | >= ) \ (?P<value> .+ )
    """
_REVERSED = rf"""(?x)
    (?P<value> \$\d+ (?: ::[\w ]+ )? ) [ ] (?P<operator> = | < | <= | > | >= ) [ ]
    (?P<owner>{_NAME}) \. (?P<column>{_NAME})
    """
_PIECES = r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|\ AND\ |[()]|[^'"()\ ]+|\ """
_COLUMN = rf"(?x){_NAME} \. {_NAME}"
_CAST = rf"(?x)\( {_NAME} \. {_NAME} \) :: (?P<type>[\w ]+)"
_CALL = r"(?P<name>[^\W\d]\w*)\("
_PATTERNS = ("~~", "~~*")
_COMPARISONS = ("=", "<", "<=", ">", ">=", *_PATTERNS)


class Wrapped(msgspec.Struct, frozen=True, kw_only=True):
    """A column that a filter compares only inside of an expression, so that an index on it cannot
    be used. ``kind`` is pattern (LIKE), cast, function or arithmetic; ``expression`` is masked,
    ``function`` its outermost name or the type that is cast to."""

    column: str
    kind: str
    operator: str
    expression: str
    function: str = ""


class Comparison(msgspec.Struct, frozen=True):
    """``column operator value``; ``parameters`` are the placeholders that the value consists of."""

    column: str
    cast: str
    operator: str
    value: str
    parameters: tuple[int, ...]

    @property
    def is_array(self) -> bool:
        """Whether its one placeholder stands for a whole array."""
        return bool(re.fullmatch(r"ANY \(\$\d+(::[\w \[\]]+)?\)", self.value))


def _unquoted(name: str) -> str:
    return name[1:-1].replace('""', '"') if name.startswith('"') else name


def conditions(text: str) -> list[str]:
    """The parts of a condition that AND joins at its top, without outer parentheses."""
    text = text.strip()
    pieces = re.findall(_PIECES, text)
    depth, parts, wrapped = 0, [""], text.startswith("(")
    for number, piece in enumerate(pieces, 1):
        depth += (piece == "(") - (piece == ")")
        wrapped = wrapped and (depth > 0 or number == len(pieces))
        if piece == " AND " and depth == 0:
            parts.append("")
        else:
            parts[-1] += piece
    if wrapped:
        return conditions(text[1:-1])
    if len(parts) == 1:
        return [text] if text else []
    return [one for part in parts for one in conditions(part)]


def _plain(value: str) -> bool:
    """Whether it is placeholders as they stand, no expression of them."""
    bare = re.sub(r"::[\w \[\]]+|\b(ANY|ARRAY)\b|[()\[\], ]", "", value)
    return bool(re.fullmatch(r"(\$\d+)+", bare))


def comparison(condition: str, alias: str) -> Comparison | None:
    """``alias.column operator something``, if it is that and the rest names no such column."""
    match = re.fullmatch(_COMPARED, condition) or re.fullmatch(_REVERSED, condition)
    if match is None or _unquoted(match["owner"]) != alias:
        return None
    named = rf'(?<![\w"$.]){re.escape(match["owner"])}\.'
    if re.search(named, match["value"]) or "SubPlan" in match["value"]:
        return None
    operator = match["operator"]
    if match.re.pattern == _REVERSED:
        operator = operator.translate(str.maketrans("<>", "><"))
    value = match["value"]
    return Comparison(
        column=_unquoted(match["column"]),
        cast=match.groupdict().get("cast") or "",
        operator=operator,
        value=value,
        parameters=tuple(map(int, re.findall(r"\$(\d+)", value))) if _plain(value) else (),
    )


def _sides(condition: str) -> tuple[str, str, str] | None:
    """What stands left and right of the one comparison at the top of a condition, and it."""
    depth, found, place = 0, [], 0
    for piece in re.findall(_PIECES, condition):
        depth += (piece == "(") - (piece == ")")
        if depth == 0 and piece in _COMPARISONS:
            found.append((place, piece))
        place += len(piece)
    if len(found) != 1:
        return None
    place, operator = found[0]
    return condition[:place].strip(), operator, condition[place + len(operator) :].strip()


def _columns(text: str, alias: str) -> set[str]:
    """The columns of ``alias`` that stand in it, as they are written."""
    quoted = alias.replace('"', '""')
    owner = rf'(?<![\w"$.]) (?: "{re.escape(quoted)}" | {re.escape(alias)} )'
    return set(re.findall(rf"{owner} \. ({_NAME})", text, re.VERBOSE))


def wrapped(condition: str, alias: str) -> Wrapped | None:
    """The expression around one column of ``alias`` that is compared with something else."""
    sides = _sides(condition)
    if sides is None or "SubPlan" in condition:
        return None
    one, operator, other = sides
    if _columns(other, alias):
        one, other = other, one
    columns = _columns(one, alias)
    if len(columns) != 1 or _columns(other, alias):
        return None
    column = columns.pop()
    kind, function = _around(one, operator)
    if not kind:
        return None
    return Wrapped(
        column=_unquoted(column),
        kind=kind,
        operator=operator,
        expression=shorten(mask_literals(one), 120),
        function=function,
    )


def _around(expression: str, operator: str) -> tuple[str, str]:
    """What kind of expression stands around its one column, and its function or type."""
    cast = re.fullmatch(_CAST, expression)
    if operator in _PATTERNS and (cast or re.fullmatch(_COLUMN, expression)):
        return "pattern", ""
    if cast:
        return "cast", cast["type"]
    if call := re.match(_CALL, expression):
        return "function", call["name"].lower()
    return ("", "") if re.fullmatch(_COLUMN, expression) else ("arithmetic", "")
