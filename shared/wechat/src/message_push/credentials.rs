//! Tokens and AES keys of the push endpoint. A game has one URL or three, each with a token and a key of
//! its own, and old ones work beside new ones while they are replaced: a push is checked against all.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};

use super::query::Signed;
use super::signature::{is_equal, sign};
use super::{EncodingAesKey, PushQuery};

/// A token as entered in the console. Redacted by `Debug`.
#[derive(Clone)]
pub struct PushToken(pub(super) SecretString);

impl PushToken {
    /// Wraps a token from configuration.
    pub fn new(token: SecretString) -> Self {
        Self(token)
    }
}

impl fmt::Debug for PushToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PushToken([REDACTED])")
    }
}

/// The token and the key of one URL.
#[derive(Clone, Debug)]
pub struct PushCredential {
    /// A name for logs and listings.
    pub name: String,
    /// Verifies signatures.
    pub token: PushToken,
    /// Decrypts messages; none in plain mode.
    pub key: Option<EncodingAesKey>,
}

/// One to three credentials with distinct names.
#[derive(Clone, Debug)]
pub struct PushCredentials(Vec<PushCredential>);

/// Reason why credentials cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCredentials {
    /// None, or more than [`PushCredentials::MAX`].
    #[error("there must be one to {max} push credentials", max = PushCredentials::MAX)]
    Number,
    /// Two have the same name.
    #[error("two push credentials have the same name")]
    Name,
    /// A token is empty, so that anyone could sign.
    #[error("the token of a push credential is empty")]
    Token,
}

impl PushCredential {
    /// Signs a URL verification as WeChat does.
    pub fn verification(&self, timestamp: i64, nonce: &str, echostr: &str) -> PushQuery {
        let timestamp = timestamp.to_string();
        let signed = Signed {
            timestamp: &timestamp,
            nonce,
        };
        PushQuery {
            signature: Some(sign(&self.token, signed, None)),
            nonce: Some(nonce.to_owned()),
            echostr: Some(echostr.to_owned()),
            timestamp: Some(timestamp),
            ..PushQuery::default()
        }
    }
}

impl PushCredentials {
    /// Maximum number of credentials.
    pub const MAX: usize = 3;

    /// Checks the credentials.
    ///
    /// # Errors
    /// The rule that was violated.
    pub fn new(credentials: Vec<PushCredential>) -> Result<Self, InvalidCredentials> {
        if credentials.is_empty() || credentials.len() > Self::MAX {
            return Err(InvalidCredentials::Number);
        }
        if credentials
            .iter()
            .any(|credential| credential.token.0.expose_secret().is_empty())
        {
            return Err(InvalidCredentials::Token);
        }
        let mut names: Vec<_> = credentials.iter().map(|one| &one.name).collect();
        names.sort_unstable();
        names.dedup();
        if names.len() < credentials.len() {
            return Err(InvalidCredentials::Name);
        }
        Ok(Self(credentials))
    }

    /// Returns the credentials.
    pub fn iter(&self) -> impl Iterator<Item = &PushCredential> {
        self.0.iter()
    }

    /// Returns the credentials whose token made the signature.
    pub(super) fn signers(
        &self,
        signed: Signed<'_>,
        encrypt: Option<&str>,
        signature: &str,
    ) -> Vec<&PushCredential> {
        self.0
            .iter()
            .filter(|credential| is_equal(&sign(&credential.token, signed, encrypt), signature))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credential(name: &str, token: &str) -> PushCredential {
        PushCredential {
            name: name.to_owned(),
            token: PushToken::new(token.into()),
            key: None,
        }
    }

    #[test]
    fn one_to_three_distinct_credentials_are_accepted() {
        let build = |names: &[&str]| {
            let all = names.iter().map(|name| credential(name, "t")).collect();
            PushCredentials::new(all).map(|_| ())
        };
        assert_eq!(build(&["a"]), Ok(()));
        assert_eq!(build(&["a", "b", "c"]), Ok(()));
        assert_eq!(build(&[]), Err(InvalidCredentials::Number));
        assert_eq!(
            build(&["a", "b", "c", "d"]),
            Err(InvalidCredentials::Number)
        );
        assert_eq!(build(&["a", "b", "a"]), Err(InvalidCredentials::Name));
        let empty = PushCredentials::new(vec![credential("a", "")]);
        assert_eq!(empty.map(|_| ()), Err(InvalidCredentials::Token));
    }

    #[test]
    fn debug_redacts_tokens() {
        let shown = format!("{:?}", credential("a", "the-token"));
        assert!(!shown.contains("the-token"), "{shown}");
    }
}
