"""``grants``: the least rights that the checks need, ready to paste."""

import json
import shlex

import click

from backend_doctor.backends.redis.rights import rights
from backend_doctor.backends.sql import quote_identifier, quote_literal
from backend_doctor.errors import UserError

KINDS = ("postgres", "pgbouncer", "redis", "mongodb", "rabbitmq")

_POSTGRES = """\
-- PostgreSQL: run once as a superuser, in any database. The role sees activity and cannot write.
CREATE ROLE {role} LOGIN CONNECTION LIMIT 2;
GRANT pg_monitor TO {role};
ALTER ROLE {role} SET default_transaction_read_only = on;
ALTER ROLE {role} SET statement_timeout = '5s';
-- 16 and later: a slot of its own when all others are taken. It also needs
--   ALTER SYSTEM SET reserved_connections = 2;   -- and a restart
DO $$ BEGIN
  IF current_setting('server_version_num')::int >= 160000 THEN
    EXECUTE format('GRANT pg_use_reserved_connections TO %I', {literal});
  END IF;
END $$;
-- For postgres.slow_queries, in each database that is examined; it also needs
--   shared_preload_libraries = 'pg_stat_statements'   -- in postgresql.conf, and a restart
--   CREATE EXTENSION IF NOT EXISTS pg_stat_statements;
{plans}-- Give it a password in psql, where it is not logged:   \\password {role}
"""

# EXPLAIN asks for the right to read what the statement reads
_NO_PLANS = """\
-- Plans of slow statements (EXPLAIN, which runs nothing) need the right to read their tables.
-- Left out, since the role could then read all data; grant it table by table instead:
--   GRANT SELECT ON orders TO {role};
"""
_PLANS = """\
-- Plans of slow statements (EXPLAIN, which runs nothing) need the right to read their tables.
-- With it the role can read all data, and still write nothing; --no-plans leaves it out.
GRANT pg_read_all_data TO {role};
"""

# users in stats_users may use SHOW, and neither PAUSE, KILL, SET nor RELOAD
_PGBOUNCER = """\
; PgBouncer: in the section [pgbouncer] of pgbouncer.ini; add the name to a list that is there
; already. The user can look at the console, a database called pgbouncer, and change nothing.
stats_users = {user}
; Then a password for it: a line in auth_file (userlist.txt), or a role that auth_query finds:
;   "{user}" "PASSWORD"
; and RELOAD at the console, or: systemctl reload pgbouncer
"""

# INFO also answers maxclients, so CONFIG GET, which shows requirepass, is not needed
_REDIS = """\
# Redis 6 and later, Valkey: run once with redis-cli as an administrator. {reads}
ACL SETUSER {user} reset {rules}
# Then give it a password and switch it on (or `nopass` where the network is trusted):
#   ACL SETUSER {user} on >PASSWORD
# and keep it over a restart: ACL SAVE, or the same line in the aclfile.
"""

_NO_KEYS = "It reads no key."
_SESSION_KEYS = """\
It can list the
# names of all keys, and ask how long those of the pattern last; it reads no value."""

_MONGODB = """\
// MongoDB: run once with mongosh as an administrator; it asks for a password. The role reads
// the server's state and no document.
db.getSiblingDB("admin").createUser({{
  user: {name}, pwd: passwordPrompt(), roles: ["clusterMonitor"]
}})
"""

# reading needs the tag; a login needs some permission on the virtual host, and none is enough
_RABBITMQ = """\
# RabbitMQ: run once on the broker's machine; it asks for a password. Another virtual host than
# / goes behind -p. The user can read the broker's state, and neither publish nor consume.
rabbitmqctl add_user {user}
rabbitmqctl set_user_tags {user} monitoring
rabbitmqctl set_permissions -p / {user} '^$' '^$' '^$'
"""


def _plain_name(name: str, product: str) -> str:
    if not name.replace("-", "").replace("_", "").isalnum():
        raise UserError(f"--role {name}: a {product} user's name is letters, digits, - and _ here")
    return name


def _one_word(pattern: str) -> str:
    if any(not one.isprintable() or one.isspace() for one in pattern):
        raise UserError("--session-keys: an ACL takes no blank in a pattern; such as 'session:*'")
    return pattern


def grants_for(kind: str, role: str, *, plans: bool = True, session_keys: str = "") -> str:
    """The statements for one kind of backend and a role name of the user's choice; without
    ``plans``, PostgreSQL shows no plan of a slow statement, and without the pattern of
    ``session_keys``, Redis shows no key."""
    if kind == "postgres":
        name = quote_identifier(role)
        optional = (_PLANS if plans else _NO_PLANS).format(role=name)
        return _POSTGRES.format(role=name, literal=quote_literal(role), plans=optional)
    if kind == "mongodb":
        return _MONGODB.format(name=json.dumps(role))
    if kind == "rabbitmq":
        return _RABBITMQ.format(user=shlex.quote(role))
    if kind == "pgbouncer":
        return _PGBOUNCER.format(user=_plain_name(role, "PgBouncer"))
    reads = _SESSION_KEYS if session_keys else _NO_KEYS
    user = _plain_name(role, "Redis")
    return _REDIS.format(user=user, rules=rights(_one_word(session_keys)), reads=reads)


@click.command("grants")
@click.argument("kinds", nargs=-1, type=click.Choice(KINDS), metavar="[KIND]...")
@click.option("--role", default="backend_doctor", show_default=True, help="The user to create.")
@click.option(
    "--plans/--no-plans", default=True, help="PostgreSQL: what plans need, to read all tables."
)
@click.option(
    "--session-keys",
    default="",
    metavar="PATTERN",
    help="Redis: what token.session_store needs, to list keys and read how long these last.",
)
def command(kinds: tuple[str, ...], role: str, plans: bool, session_keys: str) -> None:
    """Print the least rights that the checks need, ready to paste.

    KIND is postgres, pgbouncer, redis, mongodb or rabbitmq.

    \b
    Examples:
      backend-doctor grants postgres | psql -X
      backend-doctor grants postgres --no-plans
      backend-doctor grants redis
      backend-doctor grants redis --session-keys 'session:*'
    """
    printed = (
        grants_for(kind, role, plans=plans, session_keys=session_keys) for kind in kinds or KINDS
    )
    click.echo("\n".join(printed), nl=False)
