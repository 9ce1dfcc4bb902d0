"""``grants``: the least rights that the checks need, ready to paste."""

import click

from backend_doctor.backends.redis.rights import RIGHTS
from backend_doctor.backends.sql import quote_identifier, quote_literal
from backend_doctor.errors import UserError

_POSTGRES = """\
-- PostgreSQL: run once as a superuser, in any database. It sees activity, never table data.
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
-- Give it a password in psql, where it is not logged:   \\password {role}
"""

# INFO also answers maxclients, so CONFIG GET, which shows requirepass, is not needed
_REDIS = """\
# Redis 6 and later, Valkey: run once with redis-cli as an administrator. It reads no key.
ACL SETUSER {user} reset {rules}
# Then give it a password and switch it on (or `nopass` where the network is trusted):
#   ACL SETUSER {user} on >PASSWORD
# and keep it over a restart: ACL SAVE, or the same line in the aclfile.
"""


def _redis_name(name: str) -> str:
    if not name.replace("-", "").replace("_", "").isalnum():
        raise UserError(f"--role {name}: a Redis user's name is letters, digits, - and _ here")
    return name


def grants_for(kind: str, role: str) -> str:
    """The statements for one kind of backend and a role name of the user's choice."""
    if kind == "postgres":
        return _POSTGRES.format(role=quote_identifier(role), literal=quote_literal(role))
    return _REDIS.format(user=_redis_name(role), rules=RIGHTS)


@click.command("grants")
@click.argument("kinds", nargs=-1, type=click.Choice(["postgres", "redis"]), metavar="[KIND]...")
@click.option("--role", default="backend_doctor", show_default=True, help="The user to create.")
def command(kinds: tuple[str, ...], role: str) -> None:
    """Print the least rights that the checks need, ready to paste; KIND is postgres or redis.

    \b
    Examples:
      backend-doctor grants postgres | psql -X
      backend-doctor grants redis
    """
    click.echo(
        "\n".join(grants_for(kind, role) for kind in kinds or ("postgres", "redis")), nl=False
    )
