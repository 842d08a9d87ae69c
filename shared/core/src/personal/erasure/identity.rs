//! Openid and unionid of a player who is being erased: what is searched for, and reported to the game server.

use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};

use super::ErasureError;
use crate::base::ids::ErasureId;
use crate::storage::database::DatabaseError;
use crate::storage::keyring::{Keyring, Sealed};

/// Who was erased.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// WeChat's id of the player in this mini-game.
    pub open_id: String,
    /// WeChat's id of the player across apps.
    pub union_id: Option<String>,
}

impl Identity {
    pub(super) fn seal(&self, keyring: &Keyring, id: ErasureId) -> Result<Sealed, ErasureError> {
        let text = serde_json::to_vec(self).map_err(|_| damaged())?;
        Ok(keyring.seal(&text, place(id).as_bytes())?)
    }

    pub(super) fn open(
        keyring: &Keyring,
        id: ErasureId,
        key: &str,
        sealed: &[u8],
    ) -> Result<Self, ErasureError> {
        let text = keyring.open(key, sealed, place(id).as_bytes())?;
        // serde's error is dropped, since it may quote the text.
        serde_json::from_slice(text.expose_secret()).map_err(|_| damaged())
    }

    /// Whether a text has one of the ids.
    pub fn is_in(&self, text: &str) -> bool {
        text.contains(&self.open_id)
            || self
                .union_id
                .as_ref()
                .is_some_and(|id| text.contains(id.as_str()))
    }

    /// Replaces the ids in a text.
    pub(super) fn redact(&self, text: &str, pseudonym: &str) -> String {
        let text = text.replace(&self.open_id, pseudonym);
        match &self.union_id {
            Some(union_id) => text.replace(union_id, pseudonym),
            None => text,
        }
    }
}

/// Associated data: moved to another row, the text does not open.
fn place(id: ErasureId) -> String {
    format!("erasures.identity:{id}")
}

fn damaged() -> ErasureError {
    DatabaseError::Damaged("erasures.identity".to_owned()).into()
}
