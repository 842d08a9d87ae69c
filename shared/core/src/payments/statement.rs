//! A payment channel's statement of one day, in our own terms.

use super::status::Channel;
use crate::base::fen::Fen;

/// The channel account that a statement must be about.
#[derive(Clone, Copy, Debug)]
pub struct Account<'a> {
    /// The channel.
    pub channel: Channel,
    /// The merchant.
    pub merchant_id: &'a str,
    /// The app; a merchant's statement has the rows of all of its apps.
    pub app_id: &'a str,
}

/// The statement of one day.
#[derive(Clone, Debug)]
pub struct Statement<'a> {
    /// Whose rows are compared.
    pub account: Account<'a>,
    /// All rows, also those of other apps.
    pub rows: Vec<StatementRow>,
}

/// A payment or a refund in a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatementRow {
    /// The merchant.
    pub merchant_id: String,
    /// The app.
    pub app_id: String,
    /// The channel's number of the payment.
    pub transaction_id: String,
    /// The merchant's number of the order; possibly not one of ours.
    pub order_number: String,
    /// What the order cost, coupons included; zero in the row of a refund.
    pub order_amount: Fen,
    /// The merchant's number of the refund; none in the row of a payment.
    pub refund_number: Option<String>,
    /// The requested refund; zero in the row of a payment.
    pub refund_amount: Fen,
}
