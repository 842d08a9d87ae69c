//! Players and orders that exist before a load starts. Both are numbered, so that the driver knows every id.

use avalon_test_support::TestDatabase;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::target::Target;
use crate::Outcome;

/// Players who exist; order `n` belongs to player `n % owners`.
pub(crate) const PLAYERS: u64 = 10_000;
/// Price of the product, fen.
pub(crate) const PRICE: u64 = 100;
/// The product.
pub(crate) const PRODUCT: &str = "bench";

/// The id of an order: a ULID of a time in the past.
pub(crate) fn order_id(number: u64) -> String {
    format!("01M8596G8RBENCH{number:011}")
}

/// WeChat's number of the payment of an order.
pub(crate) fn transaction_id(number: u64) -> String {
    format!("42000000012026{number:014}")
}

/// WeChat's id of a player, as `upstream` returns it.
pub(crate) fn open_id(player: u64) -> String {
    format!("o_u{player}")
}

/// The tables of our service. Columns are those of November 2026, others have defaults.
const AVALON: [&str; 3] = [
    "INSERT INTO products (id, name, price, active, created_at, updated_at)
     VALUES ('bench', 'bench item', 100, 1, 0, 0)",
    "INSERT INTO users (id, open_id, created_at, updated_at, last_login_at)
     SELECT '01M8596G8RPAYER' || lpad(n::text, 11, '0'), 'o_u' || n, 0, 0, 0
     FROM generate_series(0, 9999) AS n",
    "INSERT INTO orders (id, user_id, open_id, product_id, product_name, quantity, total_fee, channel,
        status, idempotency_key, request_digest, submitted_at, prepay_id, prepaid_at, holds_stock,
        created_at, expires_at, channel_request)
     SELECT '01M8596G8RBENCH' || lpad(n::text, 11, '0'), users.id, users.open_id, 'bench', 'bench item',
        1, 100, 'CHANNEL', 'pending', 'seed-' || n, 'seed', $3, 'wx' || n, $3, 1, $3, $3 + 7200000,
        nullif('REQUEST', '')
     FROM generate_series($1, $2 - 1) AS n JOIN users ON users.open_id = 'o_u' || n % $4",
];

/// The tables of the NestJS peer.
const NESTJS: [&str; 3] = [
    "INSERT INTO products (id, name, price) VALUES ('bench', 'bench item', 100)",
    "SELECT 1",
    "INSERT INTO orders (id, open_id, product_id, description, quantity, total, idempotency_key, prepay_id,
        created_at)
     SELECT '01M8596G8RBENCH' || lpad(n::text, 11, '0'), 'o_u' || n % $4, 'bench', 'bench item', 1,
        100, 'seed-' || n, 'wx' || n, to_timestamp($3 / 1000.0)
     FROM generate_series($1, $2 - 1) AS n",
];

/// Unpaid orders to insert.
#[derive(Clone, Copy)]
pub(crate) struct Orders {
    /// Number of orders.
    pub(crate) number: u64,
    /// Number of players who own them in turn, at most [`PLAYERS`].
    pub(crate) owners: u64,
    /// How they are paid.
    pub(crate) channel: Channel,
}

/// A channel of our service.
#[derive(Clone, Copy)]
pub(crate) enum Channel {
    WechatPay,
    VirtualPayment,
}

impl Channel {
    /// Its name, and what an order of it has asked of it.
    const fn columns(self) -> (&'static str, &'static str) {
        match self {
            Self::WechatPay => ("wechat_pay", ""),
            Self::VirtualPayment => (
                "virtual_payment",
                r#"{"mode":"goods","env":0,"productId":"bench","buyQuantity":1,"goodsPrice":100}"#,
            ),
        }
    }
}

impl Orders {
    /// None.
    pub(crate) const NONE: Self = Self {
        number: 0,
        owners: 1,
        channel: Channel::WechatPay,
    };
}

/// Inserts the product, the players, and these orders.
pub(crate) async fn insert(database: &TestDatabase, target: Target, orders: Orders) -> Outcome<()> {
    let [product, players, _] = statements(target);
    let mut connection = PgConnection::connect(database.url()).await?;
    for statement in [product, players] {
        sqlx::raw_sql(AssertSqlSafe(statement))
            .execute(&mut connection)
            .await?;
    }
    insert_orders(&mut connection, target, orders, 0).await?;
    // As after the vacuum that a table of this size has had.
    sqlx::raw_sql("ANALYZE").execute(&mut connection).await?;
    connection.close().await?;
    Ok(())
}

/// Inserts orders that are numbered from `first` on.
pub(crate) async fn insert_orders(
    connection: &mut PgConnection,
    target: Target,
    orders: Orders,
    first: u64,
) -> Outcome<()> {
    let [_, _, seeds] = statements(target);
    let (channel, request) = orders.channel.columns();
    let seeds = seeds
        .replace("CHANNEL", channel)
        .replace("REQUEST", request);
    sqlx::query(AssertSqlSafe(seeds))
        .bind(i64::try_from(first)?)
        .bind(i64::try_from(first + orders.number)?)
        .bind(jiff::Timestamp::now().as_millisecond())
        .bind(i64::try_from(orders.owners)?)
        .execute(connection)
        .await?;
    Ok(())
}

const fn statements(target: Target) -> [&'static str; 3] {
    match target {
        Target::Nestjs => NESTJS,
        _ => AVALON,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_ids_are_ulids() {
        for number in [0, 123_456] {
            let id = order_id(number);
            assert!(id.parse::<ulid::Ulid>().is_ok(), "{id}");
        }
    }

    #[test]
    fn transaction_ids_have_wechats_length() {
        assert_eq!(transaction_id(9).len(), 28);
    }
}
