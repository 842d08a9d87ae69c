//! Profiles of players: what a field may hold (`fields`), what wins when two tellings differ (`merge`),
//! and the columns of `users` that keep it (`rows`). How WeChat proves a profile is not known here; what
//! clients see of it is `users::UserInfo`.

pub mod fields;
pub mod merge;
pub mod rows;

pub use fields::{AvatarHosts, FieldError, Fields};
pub use merge::{Known, Source, Standing, Update, merge};
