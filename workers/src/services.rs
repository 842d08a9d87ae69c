//! What handlers work with. Made once per process and passed to each of them.

use std::time::Duration;

use avalon_core::database::Database;
use avalon_core::keyring::Keyring;
use avalon_core::tokens::TokenIssuer;
use avalon_wechat::WechatClient;

/// What handlers work with.
pub struct Services {
    /// Where players and sessions are.
    pub database: Database,
    /// Seals what must not be read at rest.
    pub keyring: Keyring,
    /// WeChat's platform.
    pub wechat: WechatClient,
    /// Signs tokens.
    pub tokens: TokenIssuer,
    /// How long a session lives.
    pub refresh_ttl: Duration,
}
