"""Statements that do harm when they are run, or even planned; and a house full of traps for them.

Each function of the house writes TOUCHED to the server's log, which no rollback takes back.
"""

_BODY = "$b$BEGIN RAISE LOG 'TOUCHED'; RETURN {}; END$b$"
_LONG = "a" * 63


def _function(name: str, arguments: str, result: str, kind: str, value: str) -> str:
    body = _BODY.format(value)
    return (
        f"CREATE FUNCTION {name}({arguments}) RETURNS {result} {kind} LANGUAGE plpgsql AS {body};\n"
    )


HOUSE = (
    """
CREATE EXTENSION dblink;
CREATE SEQUENCE numbers;
CREATE TYPE mood AS ENUM ('good', 'bad');
CREATE DOMAIN small AS int CHECK (VALUE < 100000);
CREATE TABLE orders (id int PRIMARY KEY, customer_id int, note text);
INSERT INTO orders SELECT g, g % 50, 'x' FROM generate_series(1, 500) AS g;
CREATE TABLE stock (id int PRIMARY KEY, remaining int, state mood);
INSERT INTO stock SELECT g, 10, 'good' FROM generate_series(1, 100) AS g;
"""
    + _function("liar", "int", "int", "IMMUTABLE", "$1")
    + _function("stable_liar", "int", "int", "STABLE", "$1")
    + _function("honest", "int", "int", "VOLATILE", "$1")
    + _function("same", "int, int", "boolean", "IMMUTABLE", "$1 = $2")
    + _function("abs", "smallint", "int", "IMMUTABLE", "1")
    + _function("upper", "orders", "text", "STABLE", "'x'")
    + _function("hidden", "orders", "int", "STABLE", "1")
    + _function('"Ümlaut"', "int", "int", "IMMUTABLE", "$1")
    + _function('"abs\u00a0"', "int", "int", "IMMUTABLE", "$1")
    + _function('"$1::date"', "int", "int", "IMMUTABLE", "$1")
    + _function(_LONG, "int", "int", "IMMUTABLE", "$1")
    + _function("compared", "int, int", "int", "IMMUTABLE", "btint4cmp($1, $2)")
    + _function("many", "int", "SETOF int", "STABLE", "").replace("RETURN ;", "RETURN NEXT 1;")
    + _function("collect", "int, int", "int", "IMMUTABLE", "$2")
    + _function("fired", "", "trigger", "", "NEW")
    + """
CREATE AGGREGATE gathered (int) (SFUNC = collect, STYPE = int);
CREATE OPERATOR public.=~ (leftarg = int, rightarg = int, function = same);
CREATE DOMAIN trapped AS int CHECK (liar(VALUE) > 0);
CREATE TYPE pair AS (one trapped, two int);
CREATE TYPE spread AS RANGE (subtype = int4, subtype_opclass = int4_ops);
CREATE TABLE guarded (id int, held trapped, both_of pair, list trapped[]);
INSERT INTO guarded VALUES (1, 1, '(1,1)', '{1}');
CREATE VIEW seen AS SELECT * FROM orders WHERE customer_id = liar(5);
CREATE VIEW above AS SELECT * FROM seen;
CREATE VIEW counted AS SELECT id, nextval('numbers') AS number FROM orders;
CREATE VIEW numbered AS SELECT id FROM orders WHERE id::text = txid_current()::text;
CREATE MATERIALIZED VIEW kept AS SELECT id, liar(id) AS one FROM stock;
CREATE TABLE ruled (id int); INSERT INTO ruled SELECT generate_series(1, 100);
CREATE POLICY mine ON ruled USING (id = liar(5));
ALTER TABLE ruled ENABLE ROW LEVEL SECURITY;
CREATE TABLE indexed (id int); INSERT INTO indexed SELECT generate_series(1, 100);
CREATE INDEX ON indexed (liar(id));
CREATE TABLE partly (id int); INSERT INTO partly SELECT generate_series(1, 100);
CREATE INDEX ON partly (id) WHERE id = liar(5);
CREATE TABLE checked (id int CHECK (liar(id) > 0)); INSERT INTO checked VALUES (1);
CREATE TABLE computed (id int, made int GENERATED ALWAYS AS (liar(id)) STORED);
CREATE TABLE measured (id int, other int); INSERT INTO measured VALUES (1, 1);
CREATE STATISTICS measured_by ON (liar(id)), other FROM measured;
CREATE TABLE split (id int) PARTITION BY RANGE (liar(id));
CREATE TABLE split_one PARTITION OF split FOR VALUES FROM (0) TO (1000);
CREATE TABLE parent (id int); CREATE TABLE child (CHECK (liar(id) > 0)) INHERITS (parent);
INSERT INTO child VALUES (1);
CREATE TABLE sorted (id int); INSERT INTO sorted SELECT generate_series(1, 100);
CREATE OPERATOR CLASS odd FOR TYPE int USING btree AS OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =,
  OPERATOR 4 >=, OPERATOR 5 >, FUNCTION 1 compared(int, int);
CREATE INDEX ON sorted (id odd);
CREATE TABLE fires (id int); CREATE TRIGGER fires BEFORE INSERT OR UPDATE OR DELETE ON fires
  FOR EACH ROW EXECUTE FUNCTION fired();
INSERT INTO fires VALUES (1);
CREATE FOREIGN DATA WRAPPER nothing; CREATE SERVER elsewhere FOREIGN DATA WRAPPER nothing;
CREATE FOREIGN TABLE far (id int) SERVER elsewhere;
GRANT ALL ON ALL TABLES IN SCHEMA public TO PUBLIC;
ANALYZE orders; ANALYZE stock;
"""
)

# what may be planned and run: the corpus would prove nothing if nothing ever passed
HARMLESS = (
    "SELECT * FROM orders WHERE customer_id = 5",
    "SELECT count(*) FROM orders o JOIN stock s USING (id) WHERE s.state = 'good'::mood",
    "SELECT id::small FROM orders WHERE note LIKE 'x%' /* a comment; with a semicolon */",
    "WITH few AS (SELECT * FROM orders WHERE id < 10) SELECT max(id) FROM few WHERE note <> 'a;b'",
    "SELECT * FROM orders WHERE id = ANY (ARRAY[1, 2]) -- COMMIT;\nORDER BY id LIMIT 5;",
)

BY_CALL = (
    "SELECT liar(id) FROM orders",
    "SELECT * FROM orders WHERE customer_id = liar(5)",
    "SELECT * FROM orders WHERE customer_id = stable_liar(5)",
    "SELECT * FROM orders WHERE customer_id = honest(5)",
    "SELECT * FROM orders WHERE customer_id = public.liar(5)",
    'SELECT * FROM orders WHERE customer_id = "public"."liar" (5)',
    "SELECT * FROM orders WHERE customer_id = LIAR /* , */ -- (\n (5)",
    "SELECT * FROM orders WHERE id = 1 --\r OR customer_id = liar(5)",
    "SELECT * FROM orders WHERE id = 1 /* /* */ OR customer_id = liar(5) -- */ */",
    'SELECT * FROM orders WHERE customer_id = U&"l\\0069ar"(5)',
    "SELECT * FROM orders WHERE customer_id = u&\"l!0069ar\" UESCAPE '!' (5)",
    "SELECT * FROM orders WHERE note = E'\\' OR liar(5) = 1 --'",
    "SELECT * FROM orders WHERE note = 'a\\' OR liar(5) = 1 --'",
    "SELECT * FROM orders WHERE note = $a$ ' $a$ OR customer_id = liar(5) --'",
    "SELECT * FROM orders WHERE customer_id = abs(5::smallint)",
    "SELECT * FROM orders WHERE customer_id = abs\u00a0(5)",
    'SELECT * FROM orders WHERE customer_id = "Ümlaut"(5)',
    'SELECT * FROM orders WHERE customer_id = "date $1"(5)',
    f"SELECT * FROM orders WHERE customer_id = {_LONG}bcd(5)",
    "SELECT * FROM orders o WHERE o.hidden = 1",
    "SELECT (o).hidden FROM orders o",
    "SELECT upper(o) FROM orders o",
    "SELECT gathered(id) FROM orders",
    "SELECT id, sum(id) OVER (ORDER BY liar(id)) FROM orders",
    "SELECT * FROM orders, many(1)",
    "SELECT * FROM orders, LATERAL (SELECT liar(orders.id)) AS l",
    "SELECT * FROM orders ORDER BY liar(id) LIMIT 1",
    "SELECT * FROM orders LIMIT liar(1)",
    "SELECT CASE WHEN id > 0 THEN liar(id) END FROM orders",
    "SELECT * FROM orders WHERE EXISTS (SELECT FROM stock WHERE liar(stock.id) = orders.id)",
    "WITH a AS MATERIALIZED (SELECT liar(id) FROM orders) SELECT * FROM a",
    "SELECT * FROM orders TABLESAMPLE bernoulli (liar(5))",
)
BY_OBJECT = (
    "SELECT * FROM orders WHERE customer_id =~ 5",
    "SELECT * FROM orders WHERE customer_id OPERATOR(public.=~) 5",
    "SELECT id::trapped FROM orders",
    "SELECT * FROM orders WHERE id = trapped '5'",
    "SELECT * FROM orders WHERE id = CAST('5' AS trapped)",
    "SELECT * FROM orders WHERE id = trapped(5)",
    "SELECT *, '(5,1)'::pair FROM orders",
    "SELECT *, '{5}'::trapped[] FROM orders",
    "SELECT *, '{5}'::_trapped FROM orders",
    "SELECT * FROM orders, jsonb_to_record('{\"a\": 5}') AS r (a trapped)",
    "SELECT *, json_populate_record(NULL::pair, '{\"one\": 5}') FROM orders",
    "SELECT CASE WHEN id > 0 THEN g ELSE '(5,5,,)' END FROM guarded g",
    "SELECT COALESCE(list, '{5}') FROM guarded",
    "SELECT COALESCE(both_of, '(5,5)') FROM guarded",
    "SELECT json_populate_record(g, '{\"held\": 5}') FROM guarded g",
    "SELECT *, pg_input_is_valid('5', 'trapped') FROM orders",
    "SELECT * FROM orders WHERE pg_input_is_valid('5', 'public.trapped')",
    "SELECT * FROM seen",
    "SELECT * FROM above WHERE id = 5",
    "SELECT * FROM counted",
    "SELECT * FROM numbered",
    "SELECT * FROM kept",
    "SELECT * FROM ruled",
    "SELECT * FROM indexed WHERE id = 5",
    "SELECT * FROM partly WHERE id = 5",
    "SELECT * FROM checked WHERE id = 5",
    "SELECT * FROM computed WHERE made = 5",
    "SELECT * FROM measured WHERE other = 5",
    "SELECT * FROM split WHERE id = 5",
    "SELECT * FROM parent WHERE id = 5",
    "SELECT * FROM sorted WHERE id = 5",
    "SELECT * FROM far",
    "SELECT *, table_to_xml('seen', true, true, '') FROM orders",
    "SELECT *, query_to_xml('SELECT liar(5)', true, true, '') FROM orders",
)
BUILT_IN = (
    "SELECT *, pg_advisory_lock(5) FROM orders",
    "SELECT * FROM orders WHERE pg_try_advisory_lock(id)",
    "SELECT *, pg_advisory_xact_lock(id) FROM orders",
    "SELECT *, pg_notify('trap', 'x') FROM orders",
    "SELECT *, pg_sleep(20) FROM orders",
    "SELECT * FROM orders WHERE id::text = txid_current()::text",
    "SELECT *, pg_current_xact_id() FROM orders",
    "SELECT *, nextval('numbers') FROM orders",
    "SELECT *, setval('numbers', 500) FROM orders",
    "SELECT *, set_config('search_path', 'public', false) FROM orders",
    "SELECT *, set_config('default_transaction_read_only', 'off', false) FROM orders",
    "SELECT *, lo_creat(-1) FROM orders",
    "SELECT *, lo_from_bytea(0, 'x') FROM orders",
    "SELECT *, lo_import('/etc/hostname') FROM orders",
    "SELECT *, pg_terminate_backend(pid) FROM orders, pg_stat_activity "
    "WHERE application_name = 'victim'",
    "SELECT *, pg_cancel_backend(pid) FROM orders, pg_stat_activity",
    "SELECT *, pg_read_file('postgresql.conf') FROM orders",
    "SELECT *, pg_reload_conf(), pg_switch_wal(), pg_stat_reset() FROM orders",
    "SELECT *, pg_create_restore_point('x') FROM orders",
    "SELECT * FROM orders, dblink('dbname=shop', 'SELECT liar(5)') AS t (a int)",
    "SELECT *, dblink_exec('dbname=shop', 'UPDATE stock SET remaining = 0') FROM orders",
    "SELECT *, random() FROM orders",
)
COMMANDS = (
    "UPDATE stock SET remaining = 0",
    "UPDATE stock SET remaining = honest(1) WHERE id = liar(5)",
    "UPDATE fires SET id = 2 RETURNING liar(id)",
    "DELETE FROM fires",
    "DELETE FROM stock USING orders WHERE stock.id = liar(orders.id)",
    "INSERT INTO stock VALUES (1000, 1) ON CONFLICT DO NOTHING",
    "MERGE INTO stock USING orders ON stock.id = orders.id WHEN MATCHED THEN DELETE",
    "WITH d AS (DELETE FROM stock RETURNING *) SELECT * FROM d",
    "WITH d AS (UPDATE stock SET remaining = 0 RETURNING *) SELECT * FROM orders, d",
    "WITH d AS (INSERT INTO fires VALUES (1) RETURNING *) SELECT * FROM d",
    "SELECT * INTO stolen FROM orders",
    "SELECT * FROM orders FOR UPDATE",
    "SELECT * FROM orders o FOR NO KEY UPDATE OF o SKIP LOCKED",
    "SELECT * FROM orders FOR SHARE",
    "SELECT * FROM (SELECT * FROM orders FOR KEY SHARE) AS o",
    "SELECT * FROM orders; COMMIT; CREATE TABLE stolen ()",
    "SELECT * FROM orders; DROP TABLE stock; --",
    "SELECT 1 FROM orders;; SELECT liar(5)",
    "COMMIT",
    "ROLLBACK; UPDATE stock SET remaining = 0",
    "COPY orders TO '{file}'",
    "COPY (SELECT liar(id) FROM orders) TO PROGRAM 'touch {file}'",
    "DO $$ BEGIN PERFORM liar(5); END $$",
    "CALL pg_catalog.nothing()",
    "PREPARE trap AS SELECT liar(5)",
    "EXECUTE trap",
    "EXPLAIN ANALYZE DELETE FROM stock",
    "EXPLAIN (ANALYZE) SELECT liar(id) FROM orders",
    "CREATE TABLE stolen AS SELECT liar(5)",
    "TRUNCATE stock",
    "LOCK TABLE stock",
    "SET default_transaction_read_only = off",
    "VALUES (liar(5))",
    "TABLE seen",
    "DECLARE trap CURSOR WITH HOLD FOR SELECT liar(5)",
    "SELECT liar(5)",
    "LISTEN trap",
    "",
    ";",
)
HOSTILE = (*BY_CALL, *BY_OBJECT, *BUILT_IN, *COMMANDS)
