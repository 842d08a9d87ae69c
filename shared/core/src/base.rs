//! The vocabulary of every domain: ids, money, problems, enums that are strings in tables and JSON.

pub mod fen;
pub mod ids;
pub mod problem;
pub mod words;
