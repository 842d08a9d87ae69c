//! Session tokens: JWTs signed with Ed25519 (`alg` EdDSA), which any service can verify with the
//! public keys of `/.well-known/jwks.json`. A valid token proves who signed in, not that the session
//! is still live: `sessions` decides that.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use avalon_wechat::OpenId;
use jiff::Timestamp;
use jsonwebtoken::{
    Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, decode_header, encode,
    errors::ErrorKind,
};
use serde::{Deserialize, Serialize};

use crate::base::ids::{SessionId, UserId};

mod jwks;
mod keys;
mod verified;

pub use jwks::{Jwk, Jwks};
pub use keys::{KeyError, SigningKey, VerifyingKey};
use verified::VerifiedTokens;

/// Claims of a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Who issued the token: `auth.issuer`.
    pub iss: String,
    /// For whom it was issued: `auth.audience`. Missing in tokens of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aud: Option<String>,
    /// The player.
    pub sub: UserId,
    /// The session.
    pub sid: SessionId,
    /// The player's openid in this mini-game.
    pub oid: String,
    /// Time of issue, Unix seconds.
    pub iat: i64,
    /// Expiry, Unix seconds: from this second on the token is refused.
    pub exp: i64,
    /// Time of the sign-in or refresh that the token stems from, Unix seconds: renewals retain it. Missing in
    /// tokens of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_time: Option<i64>,
}

impl Claims {
    /// The player's openid, typed.
    pub fn open_id(&self) -> OpenId {
        OpenId::new(&*self.oid)
    }

    /// Time of the sign-in or refresh that the token stems from, Unix seconds.
    fn authenticated_at(&self) -> i64 {
        self.auth_time.unwrap_or(self.iat)
    }
}

/// Why a token could not be issued or was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not a JWT, not signed with EdDSA, or without one of our claims.
    #[error("the token is malformed")]
    Malformed,
    /// Its `kid` is not one of our keys.
    #[error("the token was signed with an unknown key")]
    UnknownKey,
    /// The signature is wrong.
    #[error("the token's signature is wrong")]
    BadSignature,
    /// Another service issued it.
    #[error("the token was issued by another service")]
    WrongIssuer,
    /// It was issued for another service.
    #[error("the token was issued for another service")]
    WrongAudience,
    /// It has expired: a refresh token yields a new one.
    #[error("the token has expired")]
    Expired,
    /// The cryptographic library failed.
    #[error("the token could not be signed")]
    Signing,
}

/// A token and its expiry.
#[derive(Debug, Clone)]
pub struct IssuedToken {
    /// The JWT.
    pub token: String,
    /// Expiry, in whole seconds.
    pub expires: Timestamp,
}

/// Signs tokens with the current key.
pub struct TokenIssuer {
    key: EncodingKey,
    header: Header,
    issuer: String,
    audience: Option<String>,
    ttl: Duration,
    renews_for: Duration,
}

impl TokenIssuer {
    /// Issues as `issuer`; every token is valid for `ttl`, in whole seconds, and is not renewed.
    pub fn new(key: &SigningKey, issuer: &str, ttl: Duration) -> Self {
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = Some(key.id().to_owned());
        Self {
            key: key.encoding_key(),
            header,
            issuer: issuer.to_owned(),
            audience: None,
            ttl,
            renews_for: Duration::ZERO,
        }
    }

    /// Names the service for which tokens are issued.
    #[must_use]
    pub fn for_audience(mut self, audience: Option<&str>) -> Self {
        self.audience = audience.map(str::to_owned);
        self
    }

    /// Renews tokens until this time after the sign-in or refresh that they stem from.
    #[must_use]
    pub fn renewing_for(mut self, time: Duration) -> Self {
        self.renews_for = time;
        self
    }

    /// Like [`TokenIssuer::new`], from a PKCS#8 PEM.
    ///
    /// # Errors
    /// When the PEM is not an Ed25519 private key.
    pub fn from_pem(pem: &str, issuer: &str, ttl: Duration) -> Result<Self, KeyError> {
        Ok(Self::new(&pem.parse()?, issuer, ttl))
    }

    /// Whether a valid token is in the last quarter of its lifetime, so that its bearer should receive
    /// the next one. Not for ever: a stolen token must not live as long as its session. The age counts from
    /// the token's own refresh, so the refreshes of the honest player do not help the thief.
    pub fn should_renew(&self, claims: &Claims, now: Timestamp) -> bool {
        let seconds = |time: Duration| i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
        let left = claims.exp.saturating_sub(now.as_second());
        let age = now.as_second().saturating_sub(claims.authenticated_at());
        left <= seconds(self.ttl) / 4 && age < seconds(self.renews_for)
    }

    /// Issues the next token of a session at `now`. It stems from the same sign-in or refresh.
    ///
    /// # Errors
    /// [`TokenError::Signing`] when the cryptographic library fails.
    pub fn renew(&self, claims: &Claims, now: Timestamp) -> Result<IssuedToken, TokenError> {
        let (iat, exp) = self.lifetime(now)?;
        self.sign(&Claims {
            iss: self.issuer.clone(),
            aud: self.audience.clone(),
            iat,
            exp,
            auth_time: Some(claims.authenticated_at()),
            ..claims.clone()
        })
    }

    /// Issues a token for a player's session, at the time of its sign-in or refresh.
    ///
    /// # Errors
    /// [`TokenError::Signing`] when the cryptographic library fails.
    pub fn issue(
        &self,
        user: UserId,
        session: SessionId,
        open_id: &OpenId,
        now: Timestamp,
    ) -> Result<IssuedToken, TokenError> {
        let (iat, exp) = self.lifetime(now)?;
        self.sign(&Claims {
            iss: self.issuer.clone(),
            aud: self.audience.clone(),
            sub: user,
            sid: session,
            oid: open_id.as_str().to_owned(),
            iat,
            exp,
            auth_time: Some(iat),
        })
    }

    /// Time of issue and expiry of a token that is issued now.
    fn lifetime(&self, now: Timestamp) -> Result<(i64, i64), TokenError> {
        let iat = now.as_second();
        let ttl = i64::try_from(self.ttl.as_secs()).map_err(|_| TokenError::Signing)?;
        let exp = iat.checked_add(ttl).ok_or(TokenError::Signing)?;
        Ok((iat, exp))
    }

    fn sign(&self, claims: &Claims) -> Result<IssuedToken, TokenError> {
        let token = encode(&self.header, claims, &self.key).map_err(|_| TokenError::Signing)?;
        let expires = Timestamp::from_second(claims.exp).map_err(|_| TokenError::Signing)?;
        Ok(IssuedToken { token, expires })
    }
}

/// Verifies tokens of the current key and of previous ones.
///
/// The algorithm is fixed here, whatever the token's header says. `exp` is checked without leeway: a
/// token has no start of validity, so clock skew only shifts its expiry by as much.
pub struct TokenVerifier {
    keys: BTreeMap<String, DecodingKey>,
    jwks: Jwks,
    validation: Validation,
    verified: VerifiedTokens,
}

impl TokenVerifier {
    /// Accepts tokens of `issuer` that were signed with the current key or one of the previous
    /// ones.
    pub fn new(current: &VerifyingKey, previous: &[VerifyingKey], issuer: &str) -> Self {
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_required_spec_claims(&["exp", "iss", "sub"]);
        validation.set_issuer(&[issuer]);
        validation.leeway = 0;
        validation.validate_aud = false;
        let all = || std::iter::once(current).chain(previous);
        Self {
            keys: all()
                .map(|key| (key.id().to_owned(), key.decoding_key()))
                .collect(),
            jwks: Jwks::new(all()),
            validation,
            verified: VerifiedTokens::default(),
        }
    }

    /// Rejects tokens for another audience. Those without one were issued before there was any, or while
    /// `auth.audience` was empty; they expire within `auth.token_ttl`.
    #[must_use]
    pub fn for_audience(mut self, audience: Option<&str>) -> Self {
        if let Some(audience) = audience {
            self.validation.validate_aud = true;
            self.validation.set_audience(&[audience]);
        }
        self
    }

    /// Checks signature, issuer, audience and expiry of a token.
    ///
    /// # Errors
    /// A [`TokenError`] with the reason, which clients do not learn.
    pub fn verify(&self, token: &str) -> Result<Arc<Claims>, TokenError> {
        let claims = self.verified.get_or(token, || self.decode(token))?;
        match claims.exp > Timestamp::now().as_second() {
            true => Ok(claims),
            false => Err(TokenError::Expired),
        }
    }

    fn decode(&self, token: &str) -> Result<Claims, TokenError> {
        let header = decode_header(token).map_err(|_| TokenError::Malformed)?;
        let kid = header.kid.ok_or(TokenError::UnknownKey)?;
        let key = self.keys.get(&kid).ok_or(TokenError::UnknownKey)?;
        match decode(token, key, &self.validation) {
            Ok(data) => Ok(data.claims),
            Err(error) => Err(match error.kind() {
                ErrorKind::InvalidSignature => TokenError::BadSignature,
                ErrorKind::InvalidIssuer => TokenError::WrongIssuer,
                ErrorKind::InvalidAudience => TokenError::WrongAudience,
                ErrorKind::ExpiredSignature => TokenError::Expired,
                _ => TokenError::Malformed,
            }),
        }
    }

    /// The public keys, for other services.
    pub fn jwks(&self) -> &Jwks {
        &self.jwks
    }
}

#[cfg(test)]
mod tests;
