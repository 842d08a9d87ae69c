//! The vocabulary of every domain: ids, money, problems, and types stored as text.

pub(crate) mod base64_bytes;
pub mod fen;
pub mod ids;
pub mod iso_time;
pub mod problem;
pub mod stored_text;
