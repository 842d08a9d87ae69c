#!/bin/sh
# Runs once, when the database is created: a read-only role for Grafana, after that of the service. It includes the tables of later migrations.
# Users who may edit dashboards can read all player data with it.
set -eu

psql --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" --set ON_ERROR_STOP=1 \
    --set password="$(cat /run/secrets/grafana_postgres_password)" <<'SQL'
CREATE ROLE grafana LOGIN PASSWORD :'password' CONNECTION LIMIT 5;
ALTER ROLE grafana SET default_transaction_read_only = on;
ALTER ROLE grafana SET statement_timeout = '15s';
GRANT CONNECT ON DATABASE avalon TO grafana;
ALTER DEFAULT PRIVILEGES FOR ROLE avalon IN SCHEMA public GRANT SELECT ON TABLES TO grafana;
SQL
