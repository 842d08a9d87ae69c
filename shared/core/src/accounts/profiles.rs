//! Profiles of players: the rules of each field (`fields`), which of two updates wins (`merge`), and the
//! columns of `users` (`rows`). How WeChat authenticates a profile is in `avalon_wechat`; clients see it
//! as `users::UserInfo`.

pub mod fields;
pub mod merge;
pub mod rows;

pub use fields::{AvatarHosts, FieldError, Fields};
pub use merge::{Known, Source, Standing, Update, merge};
