//! The registry of the configured payment channels. Each channel is one file below; adding one takes its
//! `mod` line here and a [`Channels::with`] where the application is composed.

mod wechat_pay;

use std::sync::Arc;

use avalon_core::base::problem::ProblemCode;
use avalon_core::payments::Channel;
use avalon_queue::JobError;

pub use wechat_pay::WechatPay;

use super::channel::PaymentChannel;
use crate::job_errors;

/// The configured channels, the default of new orders first. Cheap to clone.
#[derive(Clone, Default)]
pub struct Channels(Vec<Arc<dyn PaymentChannel>>);

impl Channels {
    /// Adds a channel.
    #[must_use]
    pub fn with(mut self, channel: impl PaymentChannel + 'static) -> Self {
        self.0.push(Arc::new(channel));
        self
    }

    /// Returns a channel, or the refusal of a job about an order whose channel is no longer configured.
    pub(crate) fn get(&self, channel: Channel) -> Result<&dyn PaymentChannel, JobError> {
        self.iter()
            .find(|found| found.account().channel == channel)
            .ok_or_else(|| job_errors::reject(ProblemCode::PaymentsDisabled))
    }

    /// Returns the channel of new orders.
    pub(crate) fn default_channel(&self) -> Result<Channel, JobError> {
        self.iter()
            .next()
            .map(|first| first.account().channel)
            .ok_or_else(|| job_errors::reject(ProblemCode::PaymentsDisabled))
    }

    /// All channels.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &dyn PaymentChannel> {
        self.0.iter().map(|channel| &**channel)
    }
}
