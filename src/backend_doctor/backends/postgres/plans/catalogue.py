"""What a statement's words stand for in this database: whose code would run at planning."""

from collections.abc import Iterable

import msgspec

from backend_doctor.backends.postgres.connection import PostgresConnection
from backend_doctor.backends.postgres.plans.words import Words
from backend_doctor.facts import AbsenceKind, Absent

# Objects with an oid below 16384 are the server's own (FirstNormalObjectId). C code that an
# extension brought counts as the server's where it stands behind an operator or overloads a
# built-in function's name: only a superuser can have put it there. So do the constructors that
# come with a range type. Tables are taken from all
# schemas, so that the search path does not matter; with them come their children, what their
# views read, and all that planning may evaluate: index and check expressions, policies,
# generated columns, extended statistics, operator classes, and the types that a constant may be
# read as: a domain's check runs when its constant is read, also inside a row or an array.
_RESOLVE = """
WITH RECURSIVE word AS (
  SELECT DISTINCT left(item, 1) AS use, substr(item, 2) AS word
    FROM unnest(string_to_array($1, chr(1))) AS item),
made AS MATERIALIZED (
  SELECT p.oid, p.proname, l.lanname IN ('c', 'internal') AND EXISTS (
           SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid
              AND (d.deptype = 'e' OR d.deptype = 'i' AND d.refclassid = 'pg_type'::regclass))
         AS trusted
    FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang WHERE p.oid >= 16384),
member (word, oid) AS (
  SELECT w.word, c.oid FROM word w JOIN pg_class c ON c.relname = w.word
   WHERE w.use = 'n' AND c.oid >= 16384 AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
  UNION
  SELECT m.word, next.oid FROM member m CROSS JOIN LATERAL (
    SELECT i.inhrelid FROM pg_inherits i WHERE i.inhparent = m.oid
    UNION ALL
    SELECT d.refobjid FROM pg_rewrite r JOIN pg_depend d ON d.objid = r.oid
       AND d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass
     WHERE r.ev_class = m.oid) AS next (oid)),
part (word, class, oid) AS (
  SELECT word, 'pg_class'::regclass, oid FROM member
  UNION ALL SELECT m.word, 'pg_class'::regclass, i.indexrelid
    FROM member m JOIN pg_index i ON i.indrelid = m.oid
  UNION ALL SELECT m.word, 'pg_constraint'::regclass, k.oid
    FROM member m JOIN pg_constraint k ON k.conrelid = m.oid AND k.contype = 'c'
  UNION ALL SELECT m.word, 'pg_attrdef'::regclass, d.oid
    FROM member m JOIN pg_attrdef d ON d.adrelid = m.oid
    JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum AND a.attgenerated <> ''
  UNION ALL SELECT m.word, 'pg_policy'::regclass, p.oid
    FROM member m JOIN pg_policy p ON p.polrelid = m.oid
  UNION ALL SELECT m.word, 'pg_rewrite'::regclass, r.oid
    FROM member m JOIN pg_rewrite r ON r.ev_class = m.oid
  UNION ALL SELECT m.word, 'pg_statistic_ext'::regclass, s.oid
    FROM member m JOIN pg_statistic_ext s ON s.stxrelid = m.oid),
kind (word, oid) AS (
  SELECT w.word, t.oid FROM word w JOIN pg_type t ON t.typname = w.word
   WHERE w.use = 'n' AND t.oid >= 16384
  UNION
  SELECT m.word, a.atttypid FROM member m JOIN pg_attribute a ON a.attrelid = m.oid
   WHERE a.atttypid >= 16384 AND a.attnum > 0 AND NOT a.attisdropped
  UNION
  SELECT p.word, d.refobjid FROM part p JOIN pg_depend d ON d.objid = p.oid
     AND d.classid = p.class AND d.refclassid = 'pg_type'::regclass
   WHERE d.refobjid >= 16384),
type (word, oid) AS (
  SELECT word, oid FROM kind
  UNION
  SELECT k.word, next.oid FROM type k CROSS JOIN LATERAL (
    SELECT unnest(ARRAY[t.typelem, t.typbasetype]) FROM pg_type t WHERE t.oid = k.oid
    UNION ALL
    SELECT a.atttypid FROM pg_type t JOIN pg_attribute a ON a.attrelid = t.typrelid
     WHERE t.oid = k.oid AND t.typrelid <> 0 AND a.attnum > 0 AND NOT a.attisdropped
    UNION ALL
    SELECT unnest(ARRAY[r.rngsubtype, r.rngtypid]) FROM pg_range r
     WHERE k.oid IN (r.rngtypid, r.rngmultitypid)) AS next (oid)
   WHERE next.oid >= 16384),
used (word, oid) AS (
  SELECT p.word, d.refobjid FROM part p JOIN pg_depend d ON d.objid = p.oid
     AND d.classid = p.class AND d.refclassid = 'pg_proc'::regclass
  UNION
  SELECT p.word, o.oprcode::oid FROM part p JOIN pg_depend d ON d.objid = p.oid
     AND d.classid = p.class AND d.refclassid = 'pg_operator'::regclass
    JOIN pg_operator o ON o.oid = d.refobjid
  UNION
  SELECT p.word, a.amproc::oid FROM part p JOIN pg_depend d ON d.objid = p.oid
     AND d.classid = p.class AND d.refclassid = 'pg_opclass'::regclass
    JOIN pg_opclass c ON c.oid = d.refobjid
    JOIN pg_amproc a ON a.amprocfamily = c.opcfamily
  UNION
  SELECT y.word, d.refobjid FROM type y JOIN pg_constraint k ON k.contypid = y.oid
    JOIN pg_depend d ON d.objid = k.oid AND d.classid = 'pg_constraint'::regclass
     AND d.refclassid = 'pg_proc'::regclass
  UNION
  SELECT y.word, o.oprcode::oid FROM type y JOIN pg_constraint k ON k.contypid = y.oid
    JOIN pg_depend d ON d.objid = k.oid AND d.classid = 'pg_constraint'::regclass
     AND d.refclassid = 'pg_operator'::regclass
    JOIN pg_operator o ON o.oid = d.refobjid
  UNION
  SELECT y.word, f.oid FROM type y JOIN pg_type t ON t.oid = y.oid
    LEFT JOIN pg_range r ON r.rngtypid = t.oid
    JOIN made f ON f.oid IN (t.typinput, t.typmodin, t.typsubscript, r.rngcanonical, r.rngsubdiff))
SELECT 'table' AS what, textsend(word) AS word, ''::bytea AS detail
  FROM member GROUP BY word
UNION ALL
SELECT 'function', textsend(w.word), textsend(w.word) FROM word w
 WHERE w.use = 'c' AND EXISTS (
   SELECT FROM made f WHERE f.proname = w.word AND NOT (f.trusted AND EXISTS (
     SELECT FROM pg_proc p WHERE p.proname = w.word AND p.oid < 16384)))
UNION ALL
SELECT 'operator', textsend(w.word), textsend(f.proname::text) FROM word w
  JOIN pg_operator o ON w.use = 'o' AND o.oprname = w.word
  JOIN made f ON f.oid = o.oprcode AND NOT f.trusted
UNION ALL
SELECT 'uses', textsend(u.word), textsend(f.proname::text) FROM used u
  JOIN made f ON f.oid = u.oid AND NOT f.trusted
UNION ALL
SELECT CASE WHEN c.relkind = 'f' THEN 'foreign' ELSE 'rows' END, textsend(m.word),
       textsend(c.relname::text) FROM member m
  JOIN pg_class c ON c.oid = m.oid AND (c.relkind = 'f' OR c.relrowsecurity)
UNION ALL
SELECT 'view', textsend(m.word), textsend(c.relname::text) FROM member m
  JOIN pg_class c ON c.oid = m.oid AND c.relkind = 'v'
UNION ALL
SELECT 'cast', ''::bytea, textsend(f.proname::text) FROM pg_cast k
  JOIN made f ON f.oid = k.castfunc AND NOT f.trusted
UNION ALL
SELECT 'within', textsend(m.word), textsend(min(f.proname::text)) FROM member m
  JOIN pg_rewrite r ON r.ev_class = m.oid
  JOIN pg_proc f ON f.proname = ANY (string_to_array($2, ' ')) AND f.oid < 16384
   AND position(':funcid ' || f.oid || ' ' IN r.ev_action::text) > 0
 GROUP BY m.word
UNION ALL
SELECT 'volatile', textsend(w.word), textsend(w.word) FROM word w
 WHERE w.use = 'c' AND EXISTS (
   SELECT FROM pg_proc p WHERE p.proname = w.word AND p.provolatile = 'v')
LIMIT 2001
"""
_MOST_MEANINGS = 2000
# built in and not volatile, and yet: they take a transaction id, or read a constant as the type
# that a text names
_NEVER = (
    "txid_current",
    "pg_current_xact_id",
    "pg_input_is_valid",
    "pg_input_error_info",
)
_REASONS = {
    "function": "it calls the function {}, which is not built in: planning would run it",
    "operator": "its operator may be the function {}, which is not built in",
    "uses": "a table or type of its own uses the function {}, which is not built in",
    "within": "a view of its own calls the function {}, which planning would run",
    "foreign": "it reads the foreign table {}: planning would ask another server",
    "rows": "row-level security protects the table {}: its plan depends on who asks",
    "cast": "the database converts types by the function {}, which is not built in",
}
_NO_TABLE = "it reads no table of this database"
_CATALOGUE_ONLY = f"{_NO_TABLE}, only the server's own catalogue"
NO_TABLE = (_NO_TABLE, _CATALOGUE_ONLY)
"""What is said of a statement without tables; the server may know better why it has none."""
_USES = {"function": "calls", "volatile": "calls", "operator": "operators"}


class Meaning(msgspec.Struct, frozen=True):
    """One thing found behind a word: ``what`` it is, and its name."""

    what: str
    word: str
    detail: str


def _asked(words: Words) -> set[str]:
    lists = {"n": words.names, "c": words.calls, "o": words.operators}
    return {use + word for use, found in lists.items() for word in found}


async def look_up(db: PostgresConnection, texts: Iterable[Words]) -> list[Meaning]:
    """What the words of some statements stand for, in one statement of ours.

    Raises Absent where it is more than can be looked through.
    """
    asked: set[str] = set().union(*map(_asked, texts))
    rows = await db.fetch(_RESOLVE, chr(1).join(sorted(asked)), " ".join(_NEVER))
    if len(rows) > _MOST_MEANINGS:
        raise Absent("its words stand for too many things", kind=AbsenceKind.FAILED)
    return [Meaning(**row) for row in rows]


def _behind(words: Words, meanings: Iterable[Meaning]) -> list[Meaning]:
    return [
        meaning
        for meaning in meanings
        if not meaning.word or meaning.word in getattr(words, _USES.get(meaning.what, "names"))
    ]


def tables_of(words: Words, meanings: Iterable[Meaning]) -> tuple[str, ...]:
    """Which of a statement's words are tables or views."""
    return tuple(one.word for one in _behind(words, meanings) if one.what == "table")


def hidden_code(words: Words, meanings: Iterable[Meaning]) -> str:
    """Why the statement is not planned, by what its words stand for, or ""."""
    behind = _behind(words, meanings)
    for meaning in behind:
        if meaning.what in _REASONS:
            return _REASONS[meaning.what].format(meaning.detail)
    for name in _NEVER:
        if name in words.calls:
            return f"it calls the function {name}, which planning would run"
    # these built-in functions read whole tables and views at planning
    if any("_to_xml" in call for call in words.calls):
        return "it turns tables into XML, which planning would begin to do"
    if not tables_of(words, behind):
        named = words.names - words.calls
        own = any(name.startswith("pg_") or name == "information_schema" for name in named)
        return _CATALOGUE_ONLY if own else _NO_TABLE
    return ""


def may_change(words: Words, meanings: Iterable[Meaning]) -> str:
    """Why a run of the statement may change something, or ""."""
    behind = sorted(_behind(words, meanings), key=lambda meaning: meaning.detail)
    for meaning in behind:
        if meaning.what == "volatile":
            return f"it calls the function {meaning.detail}, which is volatile"
        if meaning.what == "view":
            return f"it reads the view {meaning.detail}, whose functions are not known"
    return ""
