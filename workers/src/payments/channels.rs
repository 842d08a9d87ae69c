//! The registry of the configured payment channels. Each channel is one file below; adding one takes its
//! `mod` line here and a [`Channels::with`] where the application is composed.

mod virtual_payment;
mod wechat_pay;

use std::sync::Arc;

use avalon_core::base::problem::ProblemCode;
use avalon_core::payments::Channel;
use avalon_queue::JobError;

pub use virtual_payment::VirtualPayment;
pub(crate) use virtual_payment::{failure, live_key};
pub use wechat_pay::WechatPay;

use super::channel::PaymentChannel;
use crate::job_errors;

/// The configured channels. Cheap to clone.
#[derive(Clone, Default)]
pub struct Channels(Vec<Arc<dyn PaymentChannel>>);

impl Channels {
    /// Adds a channel.
    #[must_use]
    pub fn with(mut self, channel: impl PaymentChannel + 'static) -> Self {
        self.0.push(Arc::new(channel));
        self
    }

    /// Whether none is configured.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns a channel, or the refusal of a job about an order whose channel is no longer configured.
    pub(crate) fn get(&self, channel: Channel) -> Result<&dyn PaymentChannel, JobError> {
        self.iter()
            .find(|found| found.account().channel == channel)
            .ok_or_else(|| job_errors::reject(ProblemCode::PaymentsDisabled))
    }

    /// All channels.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &dyn PaymentChannel> {
        self.0.iter().map(|channel| &**channel)
    }
}
