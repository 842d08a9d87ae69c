//! Invite codes: eight characters that no one confuses, read aloud or typed. A code is no secret; it is long
//! enough that a guess hits one only by luck, which would merely attribute the guesser to a stranger.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::rand;
use jiff::Timestamp;

use crate::base::ids::UserId;
use crate::base::stored_text::stored_as_text;
use crate::storage::database::{Database, DatabaseError};

/// Without 0, 1, I, L and O.
const ALPHABET: &[u8; 31] = b"23456789ABCDEFGHJKMNPQRSTUVWXYZ";
const LENGTH: usize = 8;

/// The invite code of a player.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InviteCode(String);

/// A text that is no invite code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an invite code")]
pub struct InvalidCode;

impl InviteCode {
    /// Reads a code as a player may have typed it: in lower case, with spaces or hyphens.
    pub fn read(text: &str) -> Option<Self> {
        let code: String = text
            .chars()
            .filter(|c| !matches!(c, ' ' | '-'))
            .map(|c| c.to_ascii_uppercase())
            .collect();
        code.parse().ok()
    }

    /// Generates a code.
    fn generate() -> Self {
        let mut code = String::with_capacity(LENGTH);
        while code.len() < LENGTH {
            let mut bytes = [0; 2 * LENGTH];
            if rand::fill(&mut bytes).is_err() {
                // Codes are unique, not secret.
                bytes.fill_with(|| fastrand::u8(..));
            }
            // Five bits each; the 32nd value is drawn again, so that all characters are equally likely.
            let drawn = bytes
                .iter()
                .filter_map(|byte| ALPHABET.get(usize::from(byte & 31)));
            code.extend(
                drawn
                    .map(|byte| char::from(*byte))
                    .take(LENGTH - code.len()),
            );
        }
        Self(code)
    }
}

impl FromStr for InviteCode {
    type Err = InvalidCode;

    fn from_str(text: &str) -> Result<Self, InvalidCode> {
        let valid = text.len() == LENGTH && text.bytes().all(|byte| ALPHABET.contains(&byte));
        valid.then(|| Self(text.to_owned())).ok_or(InvalidCode)
    }
}

impl fmt::Display for InviteCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

stored_as_text!(InviteCode);

/// Returns the player's code, which is created at the first call.
///
/// # Errors
/// The database's.
pub async fn code_of(
    database: &Database,
    user: UserId,
    now: Timestamp,
) -> Result<InviteCode, DatabaseError> {
    loop {
        let code = sqlx::query_scalar("SELECT code FROM invite_codes WHERE user_id = $1")
            .bind(user)
            .fetch_optional(database.pool())
            .await?;
        if let Some(code) = code {
            return Ok(code);
        }
        // Neither a concurrent call nor the code of another player is an error: the next round reads the one, and
        // draws again after the other.
        sqlx::query(
            "INSERT INTO invite_codes (user_id, code, created_at) VALUES ($1, $2, $3)
             ON CONFLICT DO NOTHING",
        )
        .bind(user)
        .bind(InviteCode::generate())
        .bind(now.as_millisecond())
        .execute(database.pool())
        .await?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_readable_and_differ() {
        let codes: std::collections::BTreeSet<String> = (0..1000)
            .map(|_| InviteCode::generate().to_string())
            .collect();
        assert_eq!(codes.len(), 1000);
        for code in codes {
            assert_eq!(code.parse(), Ok(InviteCode(code.clone())));
            let typed = format!(" {}-{}", &code[..4].to_lowercase(), &code[4..]);
            assert_eq!(InviteCode::read(&typed), Some(InviteCode(code)));
        }
    }

    #[test]
    fn other_texts_are_no_code() {
        for odd in [
            "",
            "ABCDEFG",
            "ABCDEFGHJ",
            "ABCDEFG0",
            "ABCDEFGI",
            "礼包礼包礼包礼包",
            "' OR 1=1",
        ] {
            assert_eq!(InviteCode::read(odd), None, "{odd:?}");
        }
    }
}
