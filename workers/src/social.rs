//! Jobs about shares and groups.

pub(crate) mod open_group;
