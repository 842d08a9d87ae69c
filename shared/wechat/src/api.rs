//! The WeChat APIs that this crate calls: their names, paths and kinds.

use strum::{AsRefStr, Display, IntoStaticStr, VariantArray};

/// The WeChat APIs that this crate calls, with their names in metrics and logs.
#[derive(
    AsRefStr, Clone, Copy, Debug, Display, PartialEq, Eq, Hash, IntoStaticStr, VariantArray,
)]
#[strum(serialize_all = "snake_case")]
pub enum Api {
    /// `GET /sns/jscode2session`.
    #[strum(serialize = "code2session")]
    Code2Session,
    /// `POST /cgi-bin/stable_token`: the access token.
    StableToken,
    /// `GET /wxa/checksession`: whether a session key is still valid.
    CheckSession,
    /// `GET /wxa/resetusersessionkey`: replaces a session key.
    ResetSessionKey,
    /// `POST /wxa/getuserriskrank`: a player's risk rank.
    RiskRank,
    /// `GET /wxa/game/content_spam/get_cheat_data`: observed cheats.
    CheatData,
    /// `POST /wxa/msg_sec_check`: whether a text may be shown.
    MsgSecCheck,
    /// `POST /wxa/game/content_spam/msg_sec_check`: the text check for games.
    GameMsgSecCheck,
    /// `POST /datacube/getgameanalysisdata`: a metric of the mini-game.
    GameAnalysis,
    /// `POST /datacube/getweanalysisappiddailysummarytrend`: total visitors and shares.
    SummaryTrend,
    /// `POST /datacube/getweanalysisappiddailyvisittrend`: daily visits.
    VisitTrend,
    /// `POST /datacube/getweanalysisappiddailyretaininfo`: daily retention.
    RetainInfo,
    /// `POST /wxa/game/getbalance`: a player's coins.
    VpayBalance,
    /// `POST /wxa/game/pay`: spends coins.
    VpaySpend,
    /// `POST /wxa/game/cancelpay`: gives spent coins back.
    VpayCancelSpend,
    /// `POST /wxa/game/present`: grants coins.
    VpayPresent,
    /// `POST /wxa/game/queryorderinfo`: the state of a purchase.
    VpayQueryOrder,
    /// `POST /cgi-bin/message/subscribe/send`: sends a subscribe message.
    SubscribeSend,
    /// `POST /wxa/set_user_storage`: writes a player's cloud storage.
    SetUserStorage,
    /// `POST /wxa/remove_user_storage`: removes keys of a player's cloud storage.
    RemoveUserStorage,
    /// `POST /v3/pay/transactions/jsapi`: creates an order.
    PayJsapi,
    /// `GET /v3/pay/transactions/…`: the state of an order.
    PayQuery,
    /// `POST /v3/pay/transactions/out-trade-no/…/close`.
    PayClose,
    /// `POST /v3/refund/domestic/refunds`: creates a refund.
    PayRefund,
    /// `GET /v3/refund/domestic/refunds/…`: the state of a refund.
    PayRefundQuery,
    /// `POST /v3/refund/domestic/refunds/…/apply-abnormal-refund`: sends a refund to another account.
    PayAbnormalRefund,
    /// `GET /v3/certificates`: WeChat Pay's signing certificates.
    PayCertificates,
    /// `GET /v3/bill/tradebill`: the trade bill of a day.
    PayBill,
}

impl Api {
    /// Creates the span of one call. The trace context is not propagated to WeChat.
    pub(crate) fn span(self) -> tracing::Span {
        let api = <&str>::from(self);
        tracing::info_span!("wechat", otel.kind = "client", otel.name = api, api)
    }

    /// Whether this is a WeChat Pay API, whose errors are classified separately.
    pub(crate) const fn is_pay(self) -> bool {
        matches!(
            self,
            Self::PayJsapi
                | Self::PayQuery
                | Self::PayClose
                | Self::PayRefund
                | Self::PayRefundQuery
                | Self::PayAbnormalRefund
                | Self::PayCertificates
                | Self::PayBill
        )
    }

    /// Whether `errmsg` echoes the request, with ids of players: it is then dropped.
    pub(crate) const fn echoes_requests(self) -> bool {
        matches!(
            self,
            Self::VpayBalance
                | Self::VpaySpend
                | Self::VpayCancelSpend
                | Self::VpayPresent
                | Self::VpayQueryOrder
        )
    }

    /// Returns the path, or the common prefix of the API's paths.
    pub(crate) const fn path(self) -> &'static str {
        match self {
            Self::Code2Session => "/sns/jscode2session",
            Self::StableToken => "/cgi-bin/stable_token",
            Self::CheckSession => "/wxa/checksession",
            Self::ResetSessionKey => "/wxa/resetusersessionkey",
            Self::RiskRank => "/wxa/getuserriskrank",
            Self::CheatData => "/wxa/game/content_spam/get_cheat_data",
            Self::MsgSecCheck => "/wxa/msg_sec_check",
            Self::GameMsgSecCheck => "/wxa/game/content_spam/msg_sec_check",
            Self::GameAnalysis => "/datacube/getgameanalysisdata",
            Self::SummaryTrend => "/datacube/getweanalysisappiddailysummarytrend",
            Self::VisitTrend => "/datacube/getweanalysisappiddailyvisittrend",
            Self::RetainInfo => "/datacube/getweanalysisappiddailyretaininfo",
            Self::VpayBalance => "/wxa/game/getbalance",
            Self::VpaySpend => "/wxa/game/pay",
            Self::VpayCancelSpend => "/wxa/game/cancelpay",
            Self::VpayPresent => "/wxa/game/present",
            Self::VpayQueryOrder => "/wxa/game/queryorderinfo",
            Self::SubscribeSend => "/cgi-bin/message/subscribe/send",
            Self::SetUserStorage => "/wxa/set_user_storage",
            Self::RemoveUserStorage => "/wxa/remove_user_storage",
            Self::PayJsapi => "/v3/pay/transactions/jsapi",
            Self::PayQuery | Self::PayClose => "/v3/pay/transactions",
            Self::PayRefund | Self::PayRefundQuery | Self::PayAbnormalRefund => {
                "/v3/refund/domestic/refunds"
            }
            Self::PayCertificates => "/v3/certificates",
            Self::PayBill => "/v3/bill/tradebill",
        }
    }
}
