#!/bin/sh
# Runs once, when the database is created: the role of the service, which owns its database and nothing else. It creates
# and drops tables (migrations, partitions of events), and is no superuser.
set -eu

psql --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" --set ON_ERROR_STOP=1 \
    --set password="$(cat /run/secrets/postgres_password)" <<'SQL'
CREATE ROLE avalon LOGIN PASSWORD :'password' NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION;
ALTER DATABASE avalon OWNER TO avalon;
REVOKE ALL ON DATABASE avalon FROM PUBLIC;
SQL
