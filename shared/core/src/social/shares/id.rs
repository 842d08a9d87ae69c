//! Ids of shares as clients see them: a ULID with its signature, so that a forged or foreign id costs no query,
//! and an expired one is recognised by its own time. Nothing distinguishes the reasons why an id is not valid.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretSlice};
use ulid::{ULID_LEN, Ulid};

use crate::storage::keyring::Keyring;

/// Bytes of the signature: 128 bits.
const SIGNATURE: usize = 16;
/// A share is accepted although another process's clock issued it in the future by this, in milliseconds.
const MAX_AHEAD_MS: i64 = 60_000;

/// Signs and verifies ids of shares. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ShareIds {
    keyring: Arc<Keyring>,
    ttl: Duration,
}

impl ShareIds {
    /// Signs with keys that are derived from `keyring`'s; an id is valid for `ttl`.
    pub fn new(keyring: Arc<Keyring>, ttl: Duration) -> Self {
        Self { keyring, ttl }
    }

    /// Returns the id that clients see: 26 and 22 letters, digits, `-` and `_`.
    pub fn sign(&self, id: Ulid) -> String {
        let signature = self.keyring.derive(&context(id)).current;
        let signature = &signature.expose_secret()[..SIGNATURE];
        format!("{id}{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// Returns the share of a valid id; `None`: it was never issued, has expired, or is forged.
    pub fn verify(&self, text: &str, now: Timestamp) -> Option<Ulid> {
        let (spelling, signature) = text.split_at_checked(ULID_LEN)?;
        let id = Ulid::from_string(spelling).ok()?;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        let derived = self.keyring.derive(&context(id));
        let signs = |key: &SecretSlice<u8>| {
            verify_slices_are_equal(&key.expose_secret()[..SIGNATURE], &signature).is_ok()
        };
        // An id has one spelling.
        let genuine = id.to_string() == spelling
            && (signs(&derived.current) || derived.previous.iter().any(signs));
        let age = now.as_millisecond() - issued_at(id).as_millisecond();
        let alive =
            (-MAX_AHEAD_MS..i64::try_from(self.ttl.as_millis()).unwrap_or(i64::MAX)).contains(&age);
        (genuine && alive).then_some(id)
    }
}

/// Returns the time at which a share was issued.
pub fn issued_at(id: Ulid) -> Timestamp {
    let ms = i64::try_from(id.timestamp_ms()).unwrap_or(i64::MAX);
    Timestamp::from_millisecond(ms).unwrap_or(Timestamp::MAX)
}

fn context(id: Ulid) -> Vec<u8> {
    [b"avalon-wx share id v1 ".as_slice(), &id.to_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::keyring::EncryptionKey;

    const DAY: Duration = Duration::from_secs(24 * 3600);

    fn ids(current: u8, previous: &[u8]) -> ShareIds {
        let key = |byte: &u8| EncryptionKey::from_bytes([*byte; 32]);
        let previous: Vec<_> = previous.iter().map(key).collect();
        let keyring = Keyring::new(&key(&current), &previous).unwrap();
        ShareIds::new(Arc::new(keyring), DAY)
    }

    #[test]
    fn only_ids_that_were_issued_are_valid() {
        let (ids, now) = (ids(1, &[]), Timestamp::now());
        let id = Ulid::generate();
        let signed = ids.sign(id);
        assert_eq!(signed.len(), 48);
        assert!(
            signed
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
        );
        assert_eq!(ids.verify(&signed, now), Some(id));
        for at in 0..signed.len() {
            let mut forged = signed.clone().into_bytes();
            forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
            let forged = String::from_utf8(forged).unwrap();
            assert_eq!(ids.verify(&forged, now), None, "{forged}");
        }
        let lower = signed[..ULID_LEN].to_lowercase() + &signed[ULID_LEN..];
        for odd in [
            "",
            "x",
            "礼包礼包礼包礼包礼包",
            &signed[..47],
            &lower,
            &format!("{signed}A"),
        ] {
            assert_eq!(ids.verify(odd, now), None, "{odd:?}");
        }
    }

    #[test]
    fn id_expires_and_survives_a_change_of_the_key() {
        let (now, id) = (Timestamp::now(), Ulid::generate());
        let signed = ids(1, &[]).sign(id);
        assert_eq!(ids(2, &[1]).verify(&signed, now), Some(id));
        assert_eq!(ids(2, &[]).verify(&signed, now), None);
        assert_eq!(ids(1, &[]).verify(&signed, now + DAY), None);
        assert_eq!(ids(1, &[]).verify(&signed, now - DAY), None);
    }
}
