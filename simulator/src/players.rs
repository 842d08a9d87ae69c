//! Players who have signed in, and their current session keys.
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

/// Time after a sign-in during which APIs that require it treat a player as active.
const ACTIVE_WINDOW: SignedDuration = SignedDuration::from_hours(2);

/// Whether `name` is valid for a player: 1 to 64 ASCII letters, digits, `_`, `.` and `-`.
pub(crate) fn is_name(name: &str) -> bool {
    (1..=MAX_NAME_LEN).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
}

/// Whether `text` is `o` and 27 letters, digits, `-` and `_`. It need not belong to a player who
/// has signed in: the app may have players that the simulator has not seen.
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

/// The current state of a player.
#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Player {
    pub(crate) name: String,
    pub(crate) openid: String,
    pub(crate) unionid: String,
    pub(crate) session_key: String,
    pub(crate) generation: u64,
    /// Time of the last sign-in.
    last_seen: Timestamp,
}

impl Players {
    /// Signs a player in. The first sign-in creates the player; later ones may rotate the key.
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

    /// Replaces a player's session key; the previous one becomes invalid at once.
    pub(crate) fn reset_key(&mut self, openid: &str) -> Option<&Player> {
        let player = self.0.get_mut(openid)?;
        player.replace_key();
        Some(player)
    }

    /// Whether the player signed in within the last two hours.
    pub(crate) fn is_active(&self, openid: &str, now: Timestamp) -> bool {
        self.0.get(openid).is_some_and(|player| {
            // Negative after the clock was set back, which also counts as active.
            now.duration_since(player.last_seen) <= ACTIVE_WINDOW
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

/// Returns the openid of the player of this name in this app: `o` and 27 characters.
pub fn openid(app_id: &str, name: &str) -> String {
    derive_id(&format!("openid:{app_id}:{name}"))
}

/// Returns the unionid, the same in every app: `o` and 27 characters.
fn unionid(name: &str) -> String {
    derive_id(&format!("unionid:{name}"))
}

fn derive_id(seed: &str) -> String {
    let mut id = URL_SAFE_NO_PAD.encode(digest(&SHA256, seed.as_bytes()));
    id.insert(0, 'o');
    id.truncate(28);
    id
}

/// Returns the player's session key after `generation` replacements: base64 of 16 bytes.
pub(crate) fn session_key(openid: &str, generation: u64) -> String {
    let hash = digest(
        &SHA256,
        format!("session_key:{openid}:{generation}").as_bytes(),
    );
    STANDARD.encode(&hash.as_ref()[..16])
}
