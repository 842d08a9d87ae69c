//! The vocabulary of every domain: ids, problems, enums that are strings in tables and JSON.

pub mod ids;
pub mod problem;
pub mod words;
