"""SQL as text: literals masked before they are kept, identifiers and literals quoted by rule."""

import re

_LITERALS = re.compile(
    r"""
      (?P<comment> -- [^\n]* | /\* .*? (?: \*/ | \Z) )
    | (?P<dollar> \$(?P<tag>[A-Za-z_]\w*)?\$ .*? (?: \$(?P=tag)\$ | \$\$ | \Z) )
    | (?P<string> [EeBbXxNn]? ' (?: [^'\\] | '' | \\. )* (?: ' | \Z) )
    | (?P<keep> " (?: [^"] | "" )* (?: " | \Z) | \$\d+ | [A-Za-z_]\w* )
    | (?P<number> \d+ (?: \.\d* )? (?: [eE][+-]?\d+ )? | \.\d+ )
    """,
    re.VERBOSE | re.DOTALL,
)


def mask_literals(statement: str) -> str:
    """A statement with strings and numbers replaced by ``?``, comments too.

    Identifiers, quoted identifiers and placeholders stay; a text that was cut inside a literal
    is masked to its end.
    """
    return _LITERALS.sub(lambda match: match.group("keep") or "?", statement)


def quote_identifier(name: str) -> str:
    """A name as SQL reads it, always in double quotes (PostgreSQL 4.1.1)."""
    return '"' + name.replace('"', '""') + '"'


def quote_literal(value: str) -> str:
    """A string constant for PostgreSQL, whatever standard_conforming_strings says."""
    escaped = value.replace("'", "''")
    if "\\" not in value:
        return f"'{escaped}'"
    return "E'" + escaped.replace("\\", "\\\\") + "'"
