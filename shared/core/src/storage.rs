//! What every table stands on: the database connection and its migrations, encryption at rest, and
//! the rotation of its keys.

pub mod config;
pub mod database;
pub mod keyring;
pub mod rotation;
