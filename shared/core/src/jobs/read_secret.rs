//! Read secrets: who may read a job that no signed-in player owns. The id of a job is printed in logs and
//! operators' lists and therefore grants nothing; the secret is returned only in the `Location` of the 202
//! to the client that started the job, and the job stores its digest as its owner.

use std::fmt;

use aws_lc_rs::{constant_time, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret, SecretString};

use super::Login;

/// Separates these digests from those of the same texts elsewhere, such as idempotency keys.
const DOMAIN: &str = "avalon-wx sign-in read secret v1";
/// Marks an owner that is a secret's digest. No user id has a colon.
const OWNER_PREFIX: &str = "secret:";

/// Grants reading one job. Never printed.
#[derive(Clone)]
pub struct ReadSecret(SecretString);

impl ReadSecret {
    /// The secret of a sign-in. Derived from what only its client knows, so that a repeat of the request,
    /// whichever process serves it, returns the same address.
    pub fn of_sign_in(login: &Login) -> Self {
        let device = login.device_id.as_deref().unwrap_or_default();
        let text = format!("{DOMAIN}\n{}\n{}\n{device}", login.code.len(), login.code);
        let hash = digest::digest(&digest::SHA256, text.as_bytes());
        Self(URL_SAFE_NO_PAD.encode(hash).into())
    }

    /// The secret as text, for URLs.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// The owner of a job that this secret opens: does not reveal the secret.
    pub fn owner(&self) -> String {
        let hash = digest::digest(&digest::SHA256, self.expose().as_bytes());
        format!("{OWNER_PREFIX}{}", hex::encode(hash))
    }

    /// Whether a job of this owner may be read with this secret.
    pub fn opens(&self, owner: &str) -> bool {
        let own = self.owner();
        constant_time::verify_slices_are_equal(own.as_bytes(), owner.as_bytes()).is_ok()
    }
}

impl From<String> for ReadSecret {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl fmt::Debug for ReadSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReadSecret")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(code: &str, device: Option<&str>) -> ReadSecret {
        ReadSecret::of_sign_in(&Login {
            code: code.to_owned(),
            device_id: device.map(str::to_owned),
            device_type: None,
            invite_code: None,
            share_id: None,
            client_ip: None,
            scene: None,
        })
    }

    #[test]
    fn secret_opens_jobs_of_the_same_code_and_device_only() {
        let owner = secret("code", Some("device")).owner();
        assert!(secret("code", Some("device")).opens(&owner));
        for other in [
            secret("code", None),
            secret("code", Some("other")),
            secret("codedevice", None),
            secret("cod", Some("edevice")),
            ReadSecret::from(owner.clone()),
            ReadSecret::from(owner.replace("secret:", "")),
            ReadSecret::from(String::new()),
        ] {
            assert!(!other.opens(&owner));
        }
        assert!(!owner.contains(secret("code", Some("device")).expose()));
        assert!(!secret("code", None).opens("01JZ5N4V7W8X9YABCDEFGHJKMN"));
    }
}
