//! What every table stands on: the database connection and its migrations, encryption at rest, and
//! the rotation of its keys.

pub mod database;
pub mod documents;
pub mod keyring;
pub mod rotation;
