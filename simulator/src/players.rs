//! Players: who has signed in, and the session key that each has now.
//!
//! Ids are derived from the player's name, so a name is the same player in every run.

use std::collections::HashMap;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::settings::SessionKeyRotation;

const MAX_NAME_LEN: usize = 64;

/// How long after a sign-in some APIs take a player for active.
const ACTIVE_FOR: SignedDuration = SignedDuration::from_hours(2);

/// Whether something can be a player's name: 1 to 64 ASCII letters, digits, `_`, `.` and `-`.
pub(crate) fn is_name(name: &str) -> bool {
    (1..=MAX_NAME_LEN).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
}

/// `o` and 27 letters, digits, `-` and `_`. The platform cannot know all players of an app: accepted
/// is who has never signed in, too.
pub(crate) fn is_openid(text: &str) -> bool {
    text.len() == 28
        && text.starts_with('o')
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

/// The players who have signed in, by openid.
#[derive(Default)]
pub(crate) struct Players(HashMap<String, Player>);

/// A player as the platform knows it now.
#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Player {
    pub(crate) name: String,
    pub(crate) openid: String,
    pub(crate) unionid: String,
    pub(crate) session_key: String,
    pub(crate) generation: u64,
    /// When the player was last seen in the game, which is at sign-in.
    last_seen: Timestamp,
}

impl Players {
    /// Signs a player in; the first time makes the player, later ones may rotate the session key.
    pub(crate) fn sign_in(
        &mut self,
        app_id: &str,
        name: &str,
        rotation: SessionKeyRotation,
        now: Timestamp,
    ) -> &Player {
        let openid = openid(app_id, name);
        self.0
            .entry(openid)
            .and_modify(|player| {
                player.last_seen = now;
                if rotation == SessionKeyRotation::Always {
                    player.replace_key();
                }
            })
            .or_insert_with_key(|openid| Player {
                name: name.to_owned(),
                openid: openid.clone(),
                unionid: unionid(name),
                session_key: session_key(openid, 0),
                generation: 0,
                last_seen: now,
            })
    }

    /// Gives a player another session key; the one before is dead at once.
    pub(crate) fn reset_key(&mut self, openid: &str) -> Option<&Player> {
        let player = self.0.get_mut(openid)?;
        player.replace_key();
        Some(player)
    }

    /// Whether the player was in the game within the last two hours.
    pub(crate) fn is_active(&self, openid: &str, now: Timestamp) -> bool {
        self.0.get(openid).is_some_and(|player| {
            // A clock that was set back is no absence.
            now.duration_since(player.last_seen) <= ACTIVE_FOR
        })
    }

    pub(crate) fn get(&self, openid: &str) -> Option<&Player> {
        self.0.get(openid)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

impl Player {
    fn replace_key(&mut self) {
        self.generation += 1;
        self.session_key = session_key(&self.openid, self.generation);
    }
}

/// `o` and 27 characters, for this app alone.
pub(crate) fn openid(app_id: &str, name: &str) -> String {
    id_of(&format!("openid:{app_id}:{name}"))
}

/// `o` and 27 characters, the same in every app.
fn unionid(name: &str) -> String {
    id_of(&format!("unionid:{name}"))
}

fn id_of(what: &str) -> String {
    let mut id = URL_SAFE_NO_PAD.encode(digest(&SHA256, what.as_bytes()));
    id.insert(0, 'o');
    id.truncate(28);
    id
}

/// The key of a player after so many replacements: base64 of 16 bytes.
pub(crate) fn session_key(openid: &str, generation: u64) -> String {
    let hash = digest(
        &SHA256,
        format!("session_key:{openid}:{generation}").as_bytes(),
    );
    STANDARD.encode(&hash.as_ref()[..16])
}
