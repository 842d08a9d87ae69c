//! Metrics of orders, payments, callbacks and refunds. What the database knows (pending callbacks,
//! differences to WeChat's bills) is exported by the API at scrape time.

use avalon_core::payments::coins::CoinChangeKind;
use avalon_core::payments::{CallbackOutcome, Cause, Channel, OrderStatus, RefundStatus};
use avalon_core::platform::pushes::Outcome;
use avalon_metrics::metrics;
use jiff::Timestamp;
use prometheus::exponential_buckets;
use strum::{AsRefStr, IntoStaticStr, VariantArray};

/// The states that workers bring orders to. `refunding` begins with an operator's request.
const STATUSES: [OrderStatus; 5] = [
    OrderStatus::Pending,
    OrderStatus::Paid,
    OrderStatus::Failed,
    OrderStatus::Closed,
    OrderStatus::Refunded,
];

/// Outcome of a `createOrder` job. The names are label values.
#[derive(AsRefStr, Clone, Copy, Debug, IntoStaticStr, PartialEq, Eq, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub(crate) enum OrderRequest {
    /// The player can pay.
    Offered,
    /// Because of the player or the product.
    Refused,
    /// WeChat or the service failed.
    Unavailable,
}

/// Outcome of an attempt to change coins. The names are label values.
#[derive(AsRefStr, Clone, Copy, Debug, IntoStaticStr, PartialEq, Eq, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub(crate) enum SpendOutcome {
    /// WeChat has applied it.
    Done,
    /// The player has too few coins.
    NotEnough,
    /// WeChat refused it for another reason.
    Refused,
    /// WeChat refuses our settings.
    Misconfigured,
    /// It waits for the player's next sign-in.
    AwaitsSignIn,
    /// No clear answer: the same number is sent again.
    Unclear,
    /// No clear answer within 47 hours: an operator must decide.
    Unsettled,
    /// The stored change violates our own rules, so that nothing was ever sent.
    Invalid,
}

/// Outcome of the comparison of a player's coins. The names are label values.
#[derive(AsRefStr, Clone, Copy, Debug, IntoStaticStr, PartialEq, Eq, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub(crate) enum AuditOutcome {
    /// WeChat's sums are those of our records.
    Agrees,
    /// They are not.
    Differs,
    /// Something is pending or recent, or WeChat reports no sums of this player.
    Postponed,
    /// It waits for the player's next sign-in.
    AwaitsSignIn,
    /// WeChat did not answer; the others wait as well.
    Failed,
}

metrics! {
    /// Counts orders, payments, callbacks and refunds. Cheap to clone.
    pub struct PayMetrics {
        /// Orders that reached a state.
        orders: IntCounterVec["status" in STATUSES, "channel" in Channel::VARIANTS] = "avalon_orders_total",
        /// Finished createOrder jobs: offered (the player can pay), refused (because of the player or the
        /// product) or unavailable (WeChat or the service failed).
        requests: IntCounterVec["outcome" in OrderRequest::VARIANTS] = "avalon_order_requests_total",
        /// Granted payments, by source: callback, push, query or reconciliation.
        payments: IntCounterVec["learned_by" in ["callback", "push", "query", "reconciliation"]]
            = "avalon_payments_total",
        /// Time from WeChat's payment time (whole seconds) to granting the items.
        grant_delay: Histogram(exponential_buckets(0.1, 2.5, 13)?)
            = "avalon_payment_grant_delay_seconds",
        /// Processed payment callbacks, and paid orders found by a query for which nothing was granted, by
        /// outcome.
        callbacks: IntCounterVec["outcome" in CallbackOutcome::VARIANTS, "channel" in Channel::VARIANTS]
            = "avalon_payment_callbacks_total",
        /// Refunds that WeChat moved to a state; a closed one has failed permanently.
        refunds: IntCounterVec["status" in &RefundStatus::VARIANTS[1..], "channel" in Channel::VARIANTS]
            = "avalon_refunds_total",
        /// Pushes that jobs have processed, by outcome.
        pushes: IntCounterVec["outcome" in Outcome::VARIANTS] = "avalon_pushes_processed_total",
        /// Attempts to change coins at WeChat, by outcome.
        spends: IntCounterVec["kind" in CoinChangeKind::VARIANTS, "outcome" in SpendOutcome::VARIANTS]
            = "avalon_coin_spends_total",
        /// Comparisons of a player's coins with WeChat's sums, by outcome.
        audits: IntCounterVec["outcome" in AuditOutcome::VARIANTS] = "avalon_coin_audits_total",
    }
}

impl PayMetrics {
    pub(crate) fn order(&self, status: OrderStatus, channel: Channel) {
        self.orders
            .with_label_values(&[status.as_ref(), channel.as_ref()])
            .inc();
    }

    pub(crate) fn push(&self, outcome: Outcome) {
        self.pushes
            .with_label_values(&[<&str>::from(outcome)])
            .inc();
    }

    pub(crate) fn spend(&self, kind: CoinChangeKind, outcome: SpendOutcome) {
        self.spends
            .with_label_values(&[kind.as_ref(), outcome.as_ref()])
            .inc();
    }

    pub(crate) fn audited(&self, outcome: AuditOutcome) {
        self.audits.with_label_values(&[outcome]).inc();
    }

    pub(crate) fn requested(&self, request: OrderRequest) {
        self.requests.with_label_values(&[request]).inc();
    }

    /// Counts a granted payment that was made at `at`.
    pub(crate) fn paid(&self, cause: Cause, at: Timestamp) {
        let learned_by = match cause {
            Cause::Callback => "callback",
            Cause::Push => "push",
            Cause::Reconciliation => "reconciliation",
            _ => "query",
        };
        self.payments.with_label_values(&[learned_by]).inc();
        // WeChat's clock may be slightly ahead of ours.
        let delay = Timestamp::now().duration_since(at).as_secs_f64().max(0.0);
        self.grant_delay.observe(delay);
    }

    pub(crate) fn refund(&self, status: RefundStatus, channel: Channel) {
        self.refunds
            .with_label_values(&[status.as_ref(), channel.as_ref()])
            .inc();
    }

    pub(crate) fn callback(&self, outcome: CallbackOutcome, channel: Channel) {
        self.callbacks
            .with_label_values(&[outcome.as_str(), channel.as_ref()])
            .inc();
    }
}
