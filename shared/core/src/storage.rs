//! Persistence that all domains share: the database and its migrations, the document port, encryption at
//! rest and the rotation of its keys.

pub mod claim;
pub mod config;
pub mod database;
pub mod documents;
pub mod keyring;
pub mod rotation;
