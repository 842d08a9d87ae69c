//! Virtual payment 2.0 for mini-games (`/wxa/game/*`): the five calls that WeChat offers a server, and
//! what the server signs for the client.
//!
//! One file per API. Every call is signed twice over the same bytes: with the AppKey of the environment
//! (`pay_sig`) and with the player's session key (`signature`). So nothing can be asked or spent for a
//! player whose session key is dead: that is one error, [`VirtualPaymentError::SignInAgain`]. There is no
//! call that creates, closes, lists or refunds an order; pushes report those
//! ([`crate::message_push`]). WeChat echoes the whole request in `errmsg`, which is therefore dropped.

mod balance;
mod cancel_spend;
mod client;
mod coins;
mod diagnosis;
mod env;
mod errors;
mod ids;
mod keys;
mod order_query;
mod present;
mod purchase;
mod repeats;
mod sign;
mod sign_data;
mod spend;
#[cfg(test)]
mod vectors;

pub use balance::{CoinBalance, CoinKind};
pub use cancel_spend::{CancelledSpend, SpendCancellation};
pub use client::{Caller, VirtualPaymentClient, VirtualPaymentSettings};
pub use coins::{CoinAmount, Coins, InvalidCoinAmount, NegativeCoins};
pub use diagnosis::{KnownSessionKeys, SignedCall};
pub use env::{Env, InvalidEnv};
pub use errors::{VirtualPaymentCode, VirtualPaymentError};
pub use ids::{BillNo, InvalidTradeNo, OfferId, TradeNo, ZoneId};
pub use keys::{AppKey, AppKeys, RotatingAppKey};
pub use order_query::{DeliverState, OrderKind, OrderQuery, PayState, QueriedOrder};
pub use present::{Present, Presented};
pub use purchase::{InvalidPurchase, Purchase};
pub use repeats::{Applied, RepeatedBill};
pub use sign::{client_pay_sig, login_signature, pay_event_sig, pay_sig};
pub use sign_data::{ClientPayment, InvalidSignData, SignData};
pub use spend::{Spend, Spent};
