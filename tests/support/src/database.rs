//! An empty database for one test, on either engine; dropping the value removes it. It has no tables: the
//! code under test runs the migrations.

use std::fs::File;
use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tempfile::TempDir;
use ulid::Ulid;
use url::Url;

use crate::shared_postgres_url;

const DROP_TIMEOUT: Duration = Duration::from_secs(5);

/// A private database.
pub struct TestDatabase {
    url: String,
    home: Home,
}

enum Home {
    Sqlite { _folder: TempDir },
    Postgres { admin_url: String, name: String },
}

impl TestDatabase {
    /// Creates an empty SQLite file in a temporary folder.
    pub fn sqlite() -> Self {
        let folder = TempDir::with_prefix("avalon-sqlite-").expect("create a folder for SQLite");
        let file = folder.path().join("avalon.db");
        // An empty file is an empty database: the URL needs no `mode=rwc`.
        File::create(&file).expect("create a SQLite file");
        let url = format!("sqlite://{}", file.display());
        Self {
            url,
            home: Home::Sqlite { _folder: folder },
        }
    }

    /// Creates a database on the shared Postgres.
    pub async fn postgres() -> Self {
        Self::on_postgres(&shared_postgres_url().await).await
    }

    /// Creates a database on the Postgres of `admin_url`, a superuser's URL.
    pub async fn on_postgres(admin_url: &str) -> Self {
        let name = format!("avalon_test_{}", Ulid::generate()).to_lowercase();
        execute(
            admin_url,
            format!("CREATE DATABASE {name} TEMPLATE template0"),
        )
        .await
        .unwrap_or_else(|error| panic!("cannot create a database at {admin_url}: {error}"));
        let mut url = Url::parse(admin_url).expect("TEST_POSTGRES_URL is not a URL");
        url.set_path(&name);
        let home = Home::Postgres {
            admin_url: admin_url.to_owned(),
            name,
        };
        Self {
            url: url.into(),
            home,
        }
    }

    /// Creates one on each engine, for store tests, which must pass on both.
    pub async fn both() -> [Self; 2] {
        [Self::sqlite(), Self::postgres().await]
    }

    /// `sqlite://…` or `postgres://…`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// `sqlite` or `postgres`, for the messages of tests that run on both.
    pub fn engine(&self) -> &'static str {
        match self.home {
            Home::Sqlite { .. } => "sqlite",
            Home::Postgres { .. } => "postgres",
        }
    }
}

impl Drop for TestDatabase {
    /// Best effort: the server may be down, and its data are temporary anyway.
    fn drop(&mut self) {
        let Home::Postgres { admin_url, name } = &self.home else {
            return;
        };
        let admin_url = admin_url.clone();
        let sql = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
        // A thread, because the test's own runtime cannot be blocked on from here.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            runtime.block_on(async {
                let _ = tokio::time::timeout(DROP_TIMEOUT, execute(&admin_url, sql)).await;
            });
            std::io::Result::Ok(())
        });
        let _ = dropping.join();
    }
}

async fn execute(url: &str, sql: String) -> sqlx::Result<()> {
    let mut connection = PgConnection::connect(url).await?;
    sqlx::raw_sql(AssertSqlSafe(sql))
        .execute(&mut connection)
        .await?;
    connection.close().await
}
