//! Personal data: what a player may demand of it, whatever part of the service stores it. `erasure` removes it,
//! `consent` what single consents covered, `export` writes all of it out. `docs/design/personal-data.md` lists each
//! column; a test compares the page with the migrated schema.

pub mod consent;
pub mod erasure;
pub mod export;

pub use erasure::{Erasure, ErasureCause, ErasureError, Step};
