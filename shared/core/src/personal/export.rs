//! All that the database has of one player, as JSON, section by section and page by page, so that a player of years
//! fits into memory. Secrets (session keys) are not part of it, nor is what names other players.

use serde_json::{Map, Value};
use sqlx::any::{AnyRow, AnyTypeInfoKind};
use sqlx::{Column, Row, ValueRef};

use crate::base::ids::UserId;
use crate::base::iso_time::IsoTime;
use crate::storage::database::{Database, DatabaseError};

/// Rows per page. More than the days on which an event may have been stored under one id: a page ends between two
/// keys.
const PAGE: usize = 500;

/// A table, or the part of it that is of one player.
#[derive(Clone, Copy, Debug)]
pub struct Section {
    /// Its name in the document.
    pub name: &'static str,
    /// `$1`: the player. `$2`: the key of the last row before the page. `$3`: number of rows. The column `key`
    /// orders the rows, and is not exported.
    statement: &'static str,
}

/// All sections. Sessions are exported by their own store.
pub const SECTIONS: &[Section] = &[
    Section {
        name: "users",
        statement: "SELECT id AS key, id, open_id, union_id, nickname, avatar_url, gender, country, province, city,
                        language, refused_nickname, profile_source, profile_at, created_at, updated_at,
                        last_login_at, banned_at, ban_reason, erased_at
                    FROM users WHERE id = $1 AND id > $2 ORDER BY id LIMIT $3",
    },
    Section {
        name: "orders",
        statement: "SELECT id AS key, id, open_id, product_id, product_name, quantity, total_fee, refunded_fee,
                        channel, status, channel_request, transaction_id, failure, created_at, expires_at, paid_at,
                        ended_at
                    FROM orders WHERE user_id = $1 AND id > $2 ORDER BY id LIMIT $3",
    },
    Section {
        name: "orderHistory",
        statement: "SELECT h.id AS key, h.order_id, h.status, h.cause, h.at
                    FROM orders o JOIN order_history h ON h.order_id = o.id
                    WHERE o.user_id = $1 AND h.id > $2 ORDER BY h.id LIMIT $3",
    },
    Section {
        name: "refunds",
        statement: "SELECT r.id AS key, r.id, r.order_id, r.amount, r.quantity, r.reason, r.status, r.revoked,
                        r.created_at, r.ended_at
                    FROM orders o JOIN refunds r ON r.order_id = o.id
                    WHERE o.user_id = $1 AND r.id > $2 ORDER BY r.id LIMIT $3",
    },
    Section {
        name: "webhooks",
        statement: "SELECT f.id AS key, f.type, f.body, f.created_at, f.delivered_at
                    FROM fulfilments f
                    WHERE f.source IN (
                        SELECT 'order:' || id FROM orders WHERE user_id = $1
                        UNION ALL
                        SELECT 'refund:' || r.id FROM refunds r JOIN orders o ON o.id = r.order_id
                        WHERE o.user_id = $1
                        UNION ALL
                        SELECT 'coins:' || id FROM coin_changes WHERE user_id = $1
                        UNION ALL
                        SELECT 'return:' || id FROM coin_changes WHERE user_id = $1)
                      AND f.id > $2 ORDER BY f.id LIMIT $3",
    },
    Section {
        name: "inventory",
        statement: "SELECT product_id AS key, product_id, quantity
                    FROM inventory WHERE user_id = $1 AND product_id > $2 ORDER BY product_id LIMIT $3",
    },
    Section {
        name: "inventoryLedger",
        statement: "SELECT id AS key, id, product_id, delta, source, balance_after, at
                    FROM inventory_ledger WHERE user_id = $1 AND id > $2 ORDER BY id LIMIT $3",
    },
    Section {
        name: "rewards",
        statement: "SELECT id AS key, id, source, items, at
                    FROM rewards WHERE user_id = $1 AND id > $2 ORDER BY id LIMIT $3",
    },
    Section {
        name: "scores",
        statement: "SELECT board || '/' || window_key AS key, board, window_key, score, reached_at, extra
                    FROM scores WHERE user_id = $1 AND board || '/' || window_key > $2
                    ORDER BY board || '/' || window_key LIMIT $3",
    },
    Section {
        name: "endedWindows",
        statement: "SELECT board || '/' || window_key AS key, board, window_key, rank, score
                    FROM board_archive WHERE user_id = $1 AND board || '/' || window_key > $2
                    ORDER BY board || '/' || window_key LIMIT $3",
    },
    Section {
        name: "heldScores",
        statement: "SELECT id AS key, id, board, window_key, score, extra, reason, at, verdict, judged_at
                    FROM held_scores WHERE user_id = $1 AND id > $2 ORDER BY id LIMIT $3",
    },
    Section {
        name: "cheatMarks",
        statement: "SELECT user_id AS key, cheat_type, risk_level, observed, marked_at, cleared_at
                    FROM cheat_marks WHERE user_id = $1 AND user_id > $2 ORDER BY user_id LIMIT $3",
    },
    Section {
        name: "groups",
        statement: "SELECT group_id AS key, group_id, expires_at
                    FROM group_members WHERE user_id = $1 AND group_id > $2 ORDER BY group_id LIMIT $3",
    },
    Section {
        name: "inviteCodes",
        statement: "SELECT user_id AS key, code, created_at
                    FROM invite_codes WHERE user_id = $1 AND user_id > $2 ORDER BY user_id LIMIT $3",
    },
    Section {
        name: "invitation",
        statement: "SELECT user_id AS key, share_id, device, client_ip, at, state, reached_at, settled_at
                    FROM invites WHERE user_id = $1 AND user_id > $2 ORDER BY user_id LIMIT $3",
    },
    Section {
        name: "shares",
        statement: "SELECT id AS key, id, scene, variant, channel, created_at
                    FROM shares WHERE user_id = $1 AND id > $2 ORDER BY id LIMIT $3",
    },
    Section {
        name: "openedShares",
        statement: "SELECT share_id || event AS key, share_id, event, group_id, at
                    FROM share_events WHERE user_id = $1 AND share_id || event > $2
                    ORDER BY share_id || event LIMIT $3",
    },
    Section {
        name: "giftPacks",
        statement: "SELECT order_id AS key, order_id, gift_id, content, received_at, granted_at
                    FROM gift_orders WHERE user_id = $1 AND order_id > $2 ORDER BY order_id LIMIT $3",
    },
    Section {
        name: "subscriptions",
        statement: "SELECT template_id AS key, template_id, by_client, by_wechat, used, updated_at
                    FROM subscriptions WHERE user_id = $1 AND template_id > $2 ORDER BY template_id LIMIT $3",
    },
    Section {
        name: "messages",
        statement: "SELECT id AS key, id, template_id, data, page, status, created_at, sending_at
                    FROM messages WHERE user_id = $1 AND id > $2 ORDER BY id LIMIT $3",
    },
    Section {
        name: "hostedScores",
        statement: "SELECT key, key AS ranking, score, at
                    FROM hosted_scores WHERE user_id = $1 AND key > $2 ORDER BY key LIMIT $3",
    },
    Section {
        name: "pushes",
        statement: "SELECT id AS key, id, event, body, received_at, outcome, processed_at
                    FROM pushes WHERE open_id = (SELECT open_id FROM users WHERE id = $1) AND id > $2
                    ORDER BY id LIMIT $3",
    },
    Section {
        name: "events",
        statement: "SELECT event_id AS key, event_id, event_name, CAST(params AS TEXT) AS params, at, received_at,
                        session_id, source, app_version, platform, scene, country, city
                    FROM analytics_events WHERE user_id = $1 AND event_id > $2 ORDER BY event_id LIMIT $3",
    },
    Section {
        name: "activeDays",
        statement: "SELECT CAST(day AS TEXT) AS key, day
                    FROM analytics_user_days WHERE user_id = $1 AND CAST(day AS TEXT) > $2
                    ORDER BY CAST(day AS TEXT) LIMIT $3",
    },
    Section {
        name: "auditEvents",
        statement: "SELECT id AS key, at, kind, session_id, actor,
                        CASE WHEN actor = 'player' THEN address END AS address, detail
                    FROM audit_events WHERE user_id = $1 AND id > $2 ORDER BY id LIMIT $3",
    },
    Section {
        name: "erasures",
        statement: "SELECT user_id AS key, id, cause, step, requested_at, due_at, started_at, done_at, notified_at
                    FROM erasures WHERE user_id = $1 AND user_id > $2 ORDER BY user_id LIMIT $3",
    },
];

/// Columns of JSON texts.
const JSON: [&str; 8] = [
    "body",
    "channel_request",
    "content",
    "data",
    "detail",
    "extra",
    "items",
    "params",
];

/// A part of a section.
#[derive(Clone, Debug)]
pub struct ExportPage {
    /// Objects with the names of the columns, in camel case; times are ISO 8601.
    pub rows: Vec<Value>,
    /// What to continue with; `None`: it is the last page.
    pub next: Option<String>,
}

/// Reads a page of a section; `after` is [`ExportPage::next`] of the page before, or empty.
///
/// # Errors
/// The database's.
pub async fn page(
    database: &Database,
    section: Section,
    user: UserId,
    after: &str,
) -> Result<ExportPage, DatabaseError> {
    let limit = i64::try_from(PAGE).unwrap_or(i64::MAX);
    let rows = sqlx::query(section.statement)
        .bind(user)
        .bind(after)
        .bind(limit)
        .fetch_all(database.pool())
        .await?;
    let keys = rows.iter().map(|row| row.try_get("key"));
    let keys: Vec<String> = keys.collect::<Result<_, _>>()?;
    let (count, next) = match keys.last().filter(|_| keys.len() == PAGE) {
        None => (rows.len(), None),
        // The rows of the last key may continue on the next page.
        Some(last) => {
            let count = keys.iter().take_while(|key| *key != last).count();
            (
                count,
                count.checked_sub(1).and_then(|at| keys.get(at).cloned()),
            )
        }
    };
    let rows = rows.iter().take(count).map(object);
    Ok(ExportPage {
        rows: rows.collect::<Result<_, _>>()?,
        next,
    })
}

fn object(row: &AnyRow) -> Result<Value, DatabaseError> {
    let mut object = Map::new();
    for (index, column) in row.columns().iter().enumerate() {
        let name = column.name();
        if name == "key" {
            continue;
        }
        let value = value(row, index)?;
        let value = match (&value, value.as_str(), value.as_i64()) {
            (_, Some(text), _) if JSON.contains(&name) => {
                serde_json::from_str(text).unwrap_or(value)
            }
            (_, _, Some(ms)) if name == "at" || name.ends_with("_at") => {
                serde_json::json!(IsoTime::from_millisecond(ms))
            }
            _ => value,
        };
        object.insert(camel_case(name), value);
    }
    Ok(Value::Object(object))
}

fn value(row: &AnyRow, index: usize) -> Result<Value, DatabaseError> {
    let raw = row.try_get_raw(index)?;
    if raw.is_null() {
        return Ok(Value::Null);
    }
    let info = raw.type_info();
    Ok(match info.kind() {
        AnyTypeInfoKind::Null => Value::Null,
        AnyTypeInfoKind::Bool => row.try_get::<bool, _>(index)?.into(),
        AnyTypeInfoKind::SmallInt => row.try_get::<i16, _>(index)?.into(),
        AnyTypeInfoKind::Integer => row.try_get::<i32, _>(index)?.into(),
        AnyTypeInfoKind::BigInt => row.try_get::<i64, _>(index)?.into(),
        AnyTypeInfoKind::Real => f64::from(row.try_get::<f32, _>(index)?).into(),
        AnyTypeInfoKind::Double => row.try_get::<f64, _>(index)?.into(),
        AnyTypeInfoKind::Blob => {
            let bytes: Vec<u8> = row.try_get(index)?;
            String::from_utf8_lossy(&bytes).into_owned().into()
        }
        AnyTypeInfoKind::Text => row.try_get::<String, _>(index)?.into(),
    })
}

fn camel_case(name: &str) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |mut name, word| {
        let mut letters = word.chars();
        name.extend(letters.next().map(|letter| letter.to_ascii_uppercase()));
        name.push_str(letters.as_str());
        name
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_named_as_in_the_api() {
        assert_eq!(camel_case("id"), "id");
        assert_eq!(camel_case("last_login_at"), "lastLoginAt");
    }
}
