//! The app's identity within virtual payment as configured in the simulator, and test credentials.

use std::time::Duration;

/// Timeout of a push: virtual payment waits for three seconds, other events for five.
const PUSH_TIMEOUT: Duration = Duration::from_secs(3);

/// What a server needs to use virtual payment. Invented, public, for tests only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VirtualPaymentCredentials {
    /// The app's id within virtual payment.
    pub offer_id: &'static str,
    /// The AppKey of production.
    pub app_key: &'static str,
    /// The AppKey of the sandbox.
    pub sandbox_app_key: &'static str,
    /// The token of the message push.
    pub push_token: &'static str,
    /// The EncodingAESKey of the message push.
    pub encoding_aes_key: &'static str,
    /// The app's original id, which pushes are addressed to.
    pub user_name: &'static str,
}

impl VirtualPaymentCredentials {
    /// The credentials of the test app.
    pub const TEST: Self = Self {
        offer_id: "1450099887",
        app_key: "Nq7Zc1yVb0TgKx5LrPw3HdSf8JmUa2Ei",
        sandbox_app_key: "pS4eXk9MvQ2nGt6Bc8RzYj3WaLh0UdFo",
        push_token: "avalonPushToken2026",
        encoding_aes_key: "Qm3xT7vJk2Lw9RzY4NcHs8Pf1DgUa5EoXbV6iKt0MyA",
        user_name: "gh_31b2a1c7e78a",
    };
}

/// The app's virtual payment at start and after a reset.
#[derive(Clone)]
pub struct VirtualPaymentSimulatorSettings {
    pub(crate) offer_id: String,
    pub(crate) app_keys: [String; 2],
    pub(crate) push_token: String,
    pub(crate) encoding_aes_key: String,
    pub(crate) user_name: String,
    pub(crate) http: reqwest::Client,
    /// URL of the message push; none until it is set in the console.
    pub push_url: Option<String>,
    /// Products that are published in both environments, with the price of one piece in fen.
    pub products: Vec<(String, i64)>,
}

impl VirtualPaymentSimulatorSettings {
    /// Creates settings for an app with these credentials.
    ///
    /// # Errors
    /// When the HTTP client cannot be created.
    pub fn new(credentials: &VirtualPaymentCredentials) -> Result<Self, String> {
        // Like WeChat, pushes follow no redirects.
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(PUSH_TIMEOUT)
            .build()
            .map_err(|error| format!("cannot create the HTTP client: {error}"))?;
        Ok(Self {
            offer_id: credentials.offer_id.to_owned(),
            app_keys: [credentials.app_key, credentials.sandbox_app_key].map(str::to_owned),
            push_token: credentials.push_token.to_owned(),
            encoding_aes_key: credentials.encoding_aes_key.to_owned(),
            user_name: credentials.user_name.to_owned(),
            http,
            push_url: None,
            products: Vec::new(),
        })
    }

    /// Creates settings for the app of [`VirtualPaymentCredentials::TEST`].
    ///
    /// # Errors
    /// Those of [`Self::new`].
    pub fn test() -> Result<Self, String> {
        Self::new(&VirtualPaymentCredentials::TEST)
    }
}
