//! Products, orders, the inventory, and WeChat Pay's callbacks.

pub(crate) mod coins;
pub(crate) mod inventory;
pub(crate) mod orders;
pub(crate) mod pay_notify;
pub(crate) mod products;
pub(crate) mod shop;

use utoipa_axum::router::OpenApiRouter;

use crate::state::App;

pub(crate) fn players() -> OpenApiRouter<App> {
    products::routes()
        .merge(orders::routes())
        .merge(inventory::routes())
        .merge(coins::routes())
}

pub(crate) fn callbacks() -> OpenApiRouter<App> {
    pay_notify::routes()
}
