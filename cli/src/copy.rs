//! `avalon migrate copy`: copies all data from one database to another.

use crate::config::Config;
use crate::database_copy;
use avalon_core::storage::claim::{FileClaim, Sharing};
use avalon_core::storage::config::{DatabaseConfig, DatabaseUrl};
use avalon_core::storage::database::Database;

use crate::failure::Failure;

/// Copies all tables and prints each of them.
pub(crate) async fn run(
    config: &Config,
    from: DatabaseUrl,
    to: DatabaseUrl,
) -> Result<(), Failure> {
    if let Some(path) = from.sqlite_path().filter(|path| !path.exists()) {
        return Err(Failure::NoDatabase(path));
    }
    // A service that runs on a source would go on writing there.
    let files = [from.sqlite_path(), to.sqlite_path()];
    let claims = files
        .iter()
        .flatten()
        .map(|file| FileClaim::of(file, Sharing::Exclusive));
    let _claims = claims.collect::<Result<Vec<_>, _>>()?;
    let names = (from.to_string(), to.to_string());
    let open = |url: DatabaseUrl| {
        let config = DatabaseConfig {
            url,
            max_connections: 2,
            ..config.database.clone()
        };
        Database::new(&config)
    };
    database_copy::copy(&open(from)?, &open(to)?, |copied| {
        println!("{:>12}  {}", copied.rows, copied.table);
    })
    .await?;
    println!("copied {} to {}", names.0, names.1);
    Ok(())
}
