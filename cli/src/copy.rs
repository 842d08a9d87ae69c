//! `avalon migrate copy`: moves a service's data from one database to another.

use crate::config::Config;
use crate::database_copy;
use avalon_core::storage::config::{DatabaseConfig, DatabaseUrl};
use avalon_core::storage::database::Database;

use crate::failure::Failure;

/// Copies everything and tells of each table.
pub(crate) async fn run(
    config: &Config,
    from: DatabaseUrl,
    to: DatabaseUrl,
) -> Result<(), Failure> {
    if let Some(path) = from.sqlite_path().filter(|path| !path.exists()) {
        return Err(Failure::NoDatabase(path));
    }
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
    println!("{} holds all that {} has", names.1, names.0);
    Ok(())
}
