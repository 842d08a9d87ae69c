//! Sign-in, sessions, profiles, and the public keys of tokens.

pub(crate) mod keys;
pub(crate) mod login;
pub(crate) mod profile;
pub(crate) mod session;
