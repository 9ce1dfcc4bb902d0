"""PgBouncer, through its console: the database called ``pgbouncer`` that it serves itself."""
