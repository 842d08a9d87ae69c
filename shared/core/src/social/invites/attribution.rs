//! Attribution: which player a new one was invited by. Decided by the statement that inserts the new player, and
//! only there. A share or code that is not valid attributes no one, and never prevents the sign-in.

use std::net::IpAddr;
use std::time::Duration;

use aws_lc_rs::digest;
use jiff::Timestamp;
use serde::Serialize;
use sqlx::AnyConnection;
use ulid::Ulid;

use super::code::InviteCode;
use crate::base::ids::UserId;
use crate::social::shares::id::{ShareIds, issued_at};

/// What a sign-in says about an invitation: a genuine share or a well-formed code. The database knows whose.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Touch {
    /// The share, which takes precedence.
    pub share_id: Option<Ulid>,
    #[serde(serialize_with = "as_text")]
    invite_code: Option<InviteCode>,
    device: Option<String>,
    client_ip: Option<String>,
}

/// An invitation as a client sent it, and where from.
#[derive(Clone, Copy, Debug, Default)]
pub struct Claim<'a> {
    /// Id of a share.
    pub share_id: Option<&'a str>,
    /// Code of a player.
    pub invite_code: Option<&'a str>,
    /// The client's name of the device.
    pub device: Option<&'a str>,
    /// Address of the client.
    pub client_ip: Option<IpAddr>,
}

fn as_text<S: serde::Serializer>(code: &Option<InviteCode>, to: S) -> Result<S::Ok, S::Error> {
    code.as_ref().map(ToString::to_string).serialize(to)
}

/// Reads what sign-ins say about invitations. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Attribution {
    ids: ShareIds,
    window: Duration,
}

impl Attribution {
    /// A share attributes new players for `window` after it was issued.
    pub fn new(ids: ShareIds, window: Duration) -> Self {
        Self { ids, window }
    }

    /// Reads an invitation. A genuine share that is older than the window attributes no one, and neither does the
    /// code that came with it.
    pub fn touch(&self, claim: Claim<'_>, now: Timestamp) -> Option<Touch> {
        let share_id = claim.share_id.and_then(|text| self.ids.verify(text, now));
        let age = |id| now.duration_since(issued_at(id)).unsigned_abs();
        if share_id.is_some_and(|id| age(id) > self.window) {
            return None;
        }
        let invite_code = claim.invite_code.and_then(InviteCode::read);
        let says_something = share_id.is_some() || invite_code.is_some();
        says_something.then(|| Touch {
            share_id,
            invite_code,
            device: claim.device.map(device_digest),
            client_ip: claim.client_ip.map(|address| address.to_string()),
        })
    }
}

/// Returns what is stored of the client's name of a device: enough to recognise it.
pub fn device_digest(device: &str) -> String {
    let digest = digest::digest(&digest::SHA256, device.as_bytes());
    hex::encode(&digest.as_ref()[..16])
}

/// Attributes a player whom this transaction has inserted. Returns whether there is an inviter. SQLite; on Postgres
/// `sign_in_many.sql` does the same.
pub(crate) async fn attribute(
    connection: &mut AnyConnection,
    user: UserId,
    touch: &Touch,
    at: i64,
) -> Result<bool, sqlx::Error> {
    let attributed = sqlx::query(
        "INSERT INTO invites (user_id, inviter_id, share_id, device, client_ip, at, state)
         SELECT $1, inviter_id, share_id, $2, $6, $3, 'invited' FROM (
             SELECT user_id AS inviter_id, id AS share_id, 1 AS precedence FROM shares WHERE id = $4
             UNION ALL
             SELECT user_id, NULL, 2 FROM invite_codes WHERE code = $5
             ORDER BY precedence LIMIT 1
         ) AS touch
         WHERE inviter_id <> $1
         ON CONFLICT (user_id) DO NOTHING",
    )
    .bind(user)
    .bind(touch.device.as_deref())
    .bind(at)
    .bind(touch.share_id.map(|id| id.to_string()))
    .bind(touch.invite_code.clone())
    .bind(touch.client_ip.as_deref())
    .execute(connection)
    .await?;
    Ok(attributed.rows_affected() > 0)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::storage::keyring::{EncryptionKey, Keyring};

    const DAY: Duration = Duration::from_secs(24 * 3600);

    #[test]
    fn only_genuine_shares_within_the_window_count() {
        let keyring = Keyring::new(&EncryptionKey::from_bytes([1; 32]), &[]).unwrap();
        let ids = ShareIds::new(Arc::new(keyring), 30 * DAY);
        let attribution = Attribution::new(ids.clone(), 7 * DAY);
        let id = Ulid::generate();
        let (share, now) = (ids.sign(id), Timestamp::now());
        let code = Some("ABCDEFGH");
        let touch = |share_id, invite_code, at| {
            let claim = Claim {
                share_id,
                invite_code,
                ..Claim::default()
            };
            attribution.touch(claim, at)
        };
        let found = touch(Some(&*share), code, now).unwrap();
        assert_eq!(
            (found.share_id, found.invite_code.is_some()),
            (Some(id), true)
        );
        assert!(
            touch(Some(&*share), code, now + 8 * DAY).is_none(),
            "too old"
        );
        let forged = touch(Some("forged"), code, now).unwrap();
        assert_eq!(forged.share_id, None, "the code is left");
        assert!(touch(None, Some("no code"), now).is_none());
        assert!(touch(None, None, now).is_none());
    }
}
