//! WeChat's access token as one process keeps it for itself, in memory. WeChat gives every process the
//! same one (`stable_token`), so several may do this beside each other; sharing it only saves calls.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use avalon_wechat::{AccessToken, AccessTokenError, AccessTokens, TokenMode, WechatClient};

/// WeChat renews its token in the last five minutes, when both are good.
const EARLY: Duration = Duration::from_secs(300);
/// However short its life is said to be, a token is used for this long.
const LEAST: Duration = Duration::from_secs(30);

/// The token of this process.
#[derive(Debug)]
pub struct OwnToken {
    wechat: WechatClient,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    kept: Option<(AccessToken, Instant)>,
    /// WeChat does not take it, whatever it says of its life.
    refused: Option<AccessToken>,
}

impl OwnToken {
    /// None yet: it is fetched when it is first needed.
    pub fn new(wechat: WechatClient) -> Self {
        let state = Mutex::default();
        Self { wechat, state }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Two that ask at once get the same token.
    async fn fetch(&self, mode: TokenMode) -> Result<AccessToken, AccessTokenError> {
        let fetched = self.wechat.stable_token(mode).await;
        let fetched = fetched.map_err(|error| AccessTokenError::Fetch(Box::new(error)))?;
        let life = fetched.expires_in.saturating_sub(EARLY).max(LEAST);
        let until = Instant::now() + life;
        self.state().kept = Some((fetched.token.clone(), until));
        Ok(fetched.token)
    }
}

#[async_trait]
impl AccessTokens for OwnToken {
    async fn current(&self) -> Result<AccessToken, AccessTokenError> {
        let (kept, refused) = {
            let state = self.state();
            (state.kept.clone(), state.refused.clone())
        };
        if let Some((token, until)) = kept
            && Instant::now() < until
        {
            return Ok(token);
        }
        let token = self.fetch(TokenMode::Normal).await?;
        if refused.as_ref() != Some(&token) {
            return Ok(token);
        }
        // The same again: only a new one helps. WeChat makes 20 of them a day, half a minute apart.
        self.fetch(TokenMode::Forced).await
    }

    async fn refused(&self, token: &AccessToken) -> Result<(), AccessTokenError> {
        let mut state = self.state();
        if state.kept.as_ref().is_some_and(|(kept, _)| kept == token) {
            state.kept = None;
            state.refused = Some(token.clone());
        }
        Ok(())
    }
}
