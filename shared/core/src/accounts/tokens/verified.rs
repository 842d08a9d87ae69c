//! Tokens whose signature was verified before. A player sends the same token with every request, and
//! verifying an Ed25519 signature costs more than the rest of most requests.

use std::sync::Arc;

use aws_lc_rs::digest;
use moka::sync::Cache;

use super::Claims;

/// Tokens remembered by a process, some 400 bytes each.
const MAX_TOKENS: u64 = 50_000;

/// Claims of verified tokens, by the SHA-256 of the token. The caller checks the expiry each time.
pub(super) struct VerifiedTokens(Cache<[u8; digest::SHA256_OUTPUT_LEN], Arc<Claims>>);

impl Default for VerifiedTokens {
    fn default() -> Self {
        Self(Cache::new(MAX_TOKENS))
    }
}

impl VerifiedTokens {
    /// The claims of the token, or those that `verify` finds; a refused token is not remembered.
    pub(super) fn get_or<E>(
        &self,
        token: &str,
        verify: impl FnOnce() -> Result<Claims, E>,
    ) -> Result<Arc<Claims>, E> {
        let mut key = [0; digest::SHA256_OUTPUT_LEN];
        key.copy_from_slice(digest::digest(&digest::SHA256, token.as_bytes()).as_ref());
        if let Some(claims) = self.0.get(&key) {
            return Ok(claims);
        }
        let claims = Arc::new(verify()?);
        self.0.insert(key, Arc::clone(&claims));
        Ok(claims)
    }
}
