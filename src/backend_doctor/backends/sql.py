"""SQL as text: literals masked before they are kept, identifiers and literals quoted by rule."""

import re

# Where the text alone does not tell where a literal ends (a backslash before a quote means two
# things, depending on a setting; comments nest), the rest of the statement is masked with it.
_LITERALS = r"""(?xs)
      (?P<comment> -- [^\n]* | /\* (?: (?! /\* | \*/ ) . )* (?: \*/ | /\* .* | \Z) )
    | (?P<dollar> \$(?P<tag>[^\W\d]\w*)?\$ .*? (?: (?(tag) \$(?P=tag)\$ | \$\$) | \Z) )
    | (?P<escaped> [Ee] ' (?: [^'\\] | '' | \\. )* (?: ' | \\? \Z) )
    | (?P<string> [BbXxNn]? ' (?: [^'\\] | '' | \\ (?! ') )* (?: ' | \\' .* | \Z) )
    | (?P<keep> " (?: [^"] | "" )* (?: " | \Z) | \$\d+ | [^\W\d]\w* )
    | (?P<number> \d [\w.]* (?: (?<= [eE] ) [+-]\d+ )? | \.\d+ )
    """


def mask_literals(statement: str) -> str:
    """A statement with strings and numbers replaced by ``?``, comments too.

    Identifiers, quoted identifiers and placeholders stay; a text that was cut inside a literal
    is masked to its end.
    """
    return re.sub(_LITERALS, lambda match: match.group("keep") or "?", statement)


def quote_identifier(name: str) -> str:
    """A name as SQL reads it, always in double quotes (PostgreSQL 4.1.1)."""
    return '"' + name.replace('"', '""') + '"'


def quote_literal(value: str) -> str:
    """A string constant for PostgreSQL, whatever standard_conforming_strings says."""
    escaped = value.replace("'", "''")
    if "\\" not in value:
        return f"'{escaped}'"
    return "E'" + escaped.replace("\\", "\\\\") + "'"
