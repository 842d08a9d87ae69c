//! Products, orders, the inventory, and WeChat Pay's callbacks.

pub(crate) mod inventory;
pub(crate) mod orders;
pub(crate) mod pay_notify;
pub(crate) mod products;
pub(crate) mod shop;
