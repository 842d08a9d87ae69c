//! The HTTP side of every call: sending, time-outs, the bounded answer, `errcode`, metrics, log event.
//!
//! It does not know what an API returns, and it never calls twice: who called decides on a repeat.

use std::fmt;
use std::time::{Duration, Instant};

use reqwest::redirect::Policy;
use secrecy::SecretString;
use serde::de::DeserializeOwned;
use tracing::Instrument;
use url::{Host, Url};

use crate::metrics::outcome_label;
use crate::request::Request;
use crate::{WechatError, WechatMetrics, answer};

/// More than any JSON answer of WeChat has; a longer body is not WeChat's.
const MAX_BODY_BYTES: usize = 1024 * 1024;

/// The APIs of WeChat that this crate calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Api {
    /// `GET /sns/jscode2session`.
    Code2Session,
    /// `POST /cgi-bin/stable_token`: the access token.
    StableToken,
    /// `GET /wxa/checksession`: whether a session key is still good.
    CheckSession,
    /// `GET /wxa/resetusersessionkey`: a new session key.
    ResetSessionKey,
    /// `POST /wxa/getuserriskrank`: how risky a player is.
    RiskRank,
    /// `POST /wxa/msg_sec_check`: whether a text may be shown.
    MsgSecCheck,
    /// `POST /wxa/game/content_spam/msg_sec_check`: the same, made for games.
    GameMsgSecCheck,
    /// `POST /datacube/getgameanalysisdata`: a metric of the mini-game.
    GameAnalysis,
    /// `POST /datacube/getweanalysisappiddailysummarytrend`: visitors and shares in all.
    SummaryTrend,
    /// `POST /datacube/getweanalysisappiddailyvisittrend`: visits of a day.
    VisitTrend,
    /// `POST /datacube/getweanalysisappiddailyretaininfo`: who of a day came back.
    RetainInfo,
    /// `POST /v3/pay/transactions/jsapi`: an order.
    PayJsapi,
    /// `GET /v3/pay/transactions/…`: where an order stands.
    PayQuery,
    /// `POST /v3/pay/transactions/out-trade-no/…/close`.
    PayClose,
    /// `POST /v3/refund/domestic/refunds`: a refund.
    PayRefund,
    /// `GET /v3/refund/domestic/refunds/…`: where a refund stands.
    PayRefundQuery,
    /// `GET /v3/certificates`: the keys that WeChat Pay signs with.
    PayCertificates,
    /// `GET /v3/bill/tradebill`: a day's bill.
    PayBill,
}

impl Api {
    /// All of them.
    pub const ALL: &'static [Api] = &[
        Api::Code2Session,
        Api::StableToken,
        Api::CheckSession,
        Api::ResetSessionKey,
        Api::RiskRank,
        Api::MsgSecCheck,
        Api::GameMsgSecCheck,
        Api::GameAnalysis,
        Api::SummaryTrend,
        Api::VisitTrend,
        Api::RetainInfo,
        Api::PayJsapi,
        Api::PayQuery,
        Api::PayClose,
        Api::PayRefund,
        Api::PayRefundQuery,
        Api::PayCertificates,
        Api::PayBill,
    ];

    /// The name in metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Code2Session => "code2session",
            Self::StableToken => "stable_token",
            Self::CheckSession => "check_session",
            Self::ResetSessionKey => "reset_session_key",
            Self::RiskRank => "risk_rank",
            Self::MsgSecCheck => "msg_sec_check",
            Self::GameMsgSecCheck => "game_msg_sec_check",
            Self::GameAnalysis => "game_analysis",
            Self::SummaryTrend => "summary_trend",
            Self::VisitTrend => "visit_trend",
            Self::RetainInfo => "retain_info",
            Self::PayJsapi => "pay_jsapi",
            Self::PayQuery => "pay_query",
            Self::PayClose => "pay_close",
            Self::PayRefund => "pay_refund",
            Self::PayRefundQuery => "pay_refund_query",
            Self::PayCertificates => "pay_certificates",
            Self::PayBill => "pay_bill",
        }
    }

    /// One call, as a step of a trace. WeChat is not told of it.
    pub(crate) fn span(self) -> tracing::Span {
        let api = self.as_str();
        tracing::info_span!("wechat", otel.kind = "client", otel.name = api, api)
    }

    /// Whether it is WeChat Pay's, with errors of its own.
    pub(crate) const fn is_pay(self) -> bool {
        matches!(
            self,
            Self::PayJsapi
                | Self::PayQuery
                | Self::PayClose
                | Self::PayRefund
                | Self::PayRefundQuery
                | Self::PayCertificates
                | Self::PayBill
        )
    }

    /// The path, or what all its paths begin with.
    pub(crate) const fn path(self) -> &'static str {
        match self {
            Self::Code2Session => "/sns/jscode2session",
            Self::StableToken => "/cgi-bin/stable_token",
            Self::CheckSession => "/wxa/checksession",
            Self::ResetSessionKey => "/wxa/resetusersessionkey",
            Self::RiskRank => "/wxa/getuserriskrank",
            Self::MsgSecCheck => "/wxa/msg_sec_check",
            Self::GameMsgSecCheck => "/wxa/game/content_spam/msg_sec_check",
            Self::GameAnalysis => "/datacube/getgameanalysisdata",
            Self::SummaryTrend => "/datacube/getweanalysisappiddailysummarytrend",
            Self::VisitTrend => "/datacube/getweanalysisappiddailyvisittrend",
            Self::RetainInfo => "/datacube/getweanalysisappiddailyretaininfo",
            Self::PayJsapi => "/v3/pay/transactions/jsapi",
            Self::PayQuery | Self::PayClose => "/v3/pay/transactions",
            Self::PayRefund | Self::PayRefundQuery => "/v3/refund/domestic/refunds",
            Self::PayCertificates => "/v3/certificates",
            Self::PayBill => "/v3/bill/tradebill",
        }
    }
}

impl fmt::Display for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// WeChat's id of our mini-game (`wx` and 16 hex digits).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AppId(String);

impl AppId {
    /// Wraps an app id from configuration; WeChat itself judges it (40013).
    pub fn new(id: impl Into<String>) -> Self {
        Self(id.into())
    }

    /// The id as WeChat writes it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AppId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How to reach WeChat, and as whom.
#[derive(Clone, Debug)]
pub struct WechatSettings {
    /// Our mini-game.
    pub app_id: AppId,
    /// Its AppSecret.
    pub app_secret: SecretString,
    /// Where WeChat's APIs are, `https://api.weixin.qq.com` or another; its path is kept as a prefix.
    pub api_base: Url,
    /// Longest wait for a connection, TLS included.
    pub connect_timeout: Duration,
    /// Longest wait for a whole call, from connecting to the last byte of the answer.
    pub request_timeout: Duration,
}

/// Why a client could not be made.
#[derive(Debug, thiserror::Error)]
pub enum WechatClientError {
    /// `api_base` cannot carry a call.
    #[error("the WeChat API base must be an http or https URL without query and fragment")]
    ApiBase,
    /// The HTTP client could not start, for example for want of CA certificates.
    #[error("the HTTP client could not start")]
    Http(#[source] reqwest::Error),
}

/// A client of WeChat's platform with its own connection pool. Clones share the pool.
#[derive(Clone, Debug)]
pub struct WechatClient {
    http: reqwest::Client,
    settings: WechatSettings,
    metrics: WechatMetrics,
}

impl WechatClient {
    /// Makes a client; connects to nothing yet.
    ///
    /// # Errors
    /// When `api_base` is not a plain http(s) address, or the TLS set-up fails.
    pub fn new(
        settings: WechatSettings,
        metrics: WechatMetrics,
    ) -> Result<Self, WechatClientError> {
        let base = &settings.api_base;
        if !matches!(base.scheme(), "http" | "https")
            || base.query().is_some()
            || base.fragment().is_some()
        {
            return Err(WechatClientError::ApiBase);
        }
        let mut http = reqwest::Client::builder()
            .user_agent(concat!("avalon-wx/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(settings.connect_timeout)
            .timeout(settings.request_timeout)
            // The query holds the secret: it goes where the configuration says and nowhere else.
            .redirect(Policy::none())
            // A call may spend a code, so nothing is sent twice behind our back.
            .retry(reqwest::retry::never());
        if is_loopback(base) {
            // HTTP_PROXY and its like are for the way out, not for a simulator on this machine.
            http = http.no_proxy();
        }
        let http = http.build().map_err(WechatClientError::Http)?;
        Ok(Self {
            http,
            settings,
            metrics,
        })
    }

    /// The mini-game that it calls as.
    pub fn app_id(&self) -> &AppId {
        &self.settings.app_id
    }

    pub(crate) fn settings(&self) -> &WechatSettings {
        &self.settings
    }

    /// Calls an API of the platform. The request's `secret` values are kept out of every error and
    /// log, even when WeChat echoes them.
    pub(crate) async fn call<T: DeserializeOwned>(
        &self,
        request: &Request<'_>,
    ) -> Result<T, WechatError> {
        let api = request.api;
        let started = Instant::now();
        let sent = request.to_http(&self.http, self.endpoint(api));
        let result = match exchange(api, sent).instrument(api.span()).await {
            Ok(body) => answer::parse(api, &body, &request.secrets()),
            Err(error) => Err(error),
        };
        self.record(api, result.as_ref().err(), started.elapsed());
        result
    }

    fn endpoint(&self, api: Api) -> Url {
        let mut url = self.settings.api_base.clone();
        let path = format!("{}{}", url.path().trim_end_matches('/'), api.path());
        url.set_path(&path);
        url
    }

    fn record(&self, api: Api, error: Option<&WechatError>, elapsed: Duration) {
        let outcome = outcome_label(error);
        self.metrics.record(api, outcome, elapsed);
        if let Some(code) = error.and_then(WechatError::code) {
            self.metrics.refused(api, code);
        }
        tracing::debug!(
            api = api.as_str(),
            outcome,
            errcode = error.and_then(WechatError::code).map(|code| code.0),
            rid = error.and_then(WechatError::rid),
            elapsed_ms = elapsed.as_millis() as u64,
            "called WeChat"
        );
    }
}

pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// Sends the request and reads the body of a 2xx answer.
async fn exchange(api: Api, request: reqwest::RequestBuilder) -> Result<Vec<u8>, WechatError> {
    let lost = |error: reqwest::Error| {
        // Before the connection is up (and before the request is even built) nothing was sent. Of
        // anything later we cannot know, so it counts as sent.
        let sent = !(error.is_connect() || error.is_builder());
        if error.is_timeout() {
            WechatError::Timeout { api, sent }
        } else {
            WechatError::Transport {
                api,
                sent,
                source: error.without_url(),
            }
        }
    };
    let mut response = request.send().await.map_err(lost)?;
    let status = response.status();
    if !status.is_success() {
        return Err(WechatError::HttpStatus {
            api,
            status: status.as_u16(),
        });
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(lost)? {
        if body.len() + chunk.len() > MAX_BODY_BYTES {
            return Err(WechatError::Malformed {
                api,
                reason: "the answer is longer than 1 MiB",
            });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}
