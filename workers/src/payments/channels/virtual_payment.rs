//! WeChat's virtual payment 2.0 (`wx.requestMidasPaymentGameItem`) as a payment channel. A server can sign and
//! query orders, and nothing else: it closes none, refunds none, and has no statements. Deliveries and refunds
//! are pushed ([`crate::platform`]); spends of coins are `coins`.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use avalon_core::accounts::session_keys;
use avalon_core::base::fen::Fen;
use avalon_core::base::ids::UserId;
use avalon_core::payments::inbox::Received;
use avalon_core::payments::order_rows::Order;
use avalon_core::payments::orders::Payment;
use avalon_core::payments::refunds::Refund;
use avalon_core::payments::statement::{Account, StatementRow};
use avalon_core::payments::virtual_request::{Mode, VirtualRequest};
use avalon_core::payments::{CallbackOutcome, Channel, PayParams, PayWith, virtual_orders};
use avalon_core::storage::database::Database;
use avalon_core::storage::keyring::Keyring;
use avalon_wechat::pay::Fen as WireFen;
use avalon_wechat::virtual_payment::{
    Caller, ClientPayment, CoinAmount, Env, OrderKind, OrderQuery, PayState, Purchase,
    QueriedOrder, SignData, TradeNo, VirtualPaymentClient, VirtualPaymentError,
};
use avalon_wechat::{AppId, ErrorClass as WechatClass, OpenId, SessionKey};
use jiff::Timestamp;
use jiff::civil::Date;
use serde::Serialize;

use crate::payments::channel::{
    Abilities, CallbackError, CallbackEvent, ChannelError, ChannelStatus, ErrorClass, Offer,
    PaymentChannel, PaymentReport, RefundState, Wish,
};

/// A client asks for the state of an order at once; WeChat answers a little later.
const FIRST_QUERY: Duration = Duration::from_secs(10);
/// The payment sheet has no limit of its own: a payment is possible for as long as it is open.
const OFFER_TTL: Duration = Duration::from_secs(2 * 3600);

/// The channel `virtual_payment`.
pub struct VirtualPayment {
    client: VirtualPaymentClient,
    app_id: AppId,
    database: Database,
    keyring: Arc<Keyring>,
}

/// The session key with which a player's calls are signed, and its version.
pub(crate) struct LiveKey {
    pub(crate) key: SessionKey,
    pub(crate) version: i64,
}

/// What the client passes to `wx.requestMidasPaymentGameItem`, and which of its modes it is.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ClientParams<'a> {
    channel: Channel,
    mode: Mode,
    sign_data: &'a str,
    pay_sig: &'a str,
    signature: &'a str,
}

impl VirtualPayment {
    /// A channel that calls through this client with the session keys of the players' rows.
    pub fn new(
        client: VirtualPaymentClient,
        app_id: AppId,
        database: Database,
        keyring: Arc<Keyring>,
    ) -> Self {
        Self {
            client,
            app_id,
            database,
            keyring,
        }
    }

    async fn live_key(&self, order: &Order) -> Result<LiveKey, ChannelError> {
        live_key(&self.database, &self.keyring, order.user_id, &order.open_id).await
    }

    /// Signs the stored text of an order with the player's current key.
    async fn sign(&self, order: &Order, request: &str) -> Result<PayParams, ChannelError> {
        let stored = SignData::stored(request).map_err(ChannelError::internal)?;
        let mode = VirtualRequest::of(Channel::VirtualPayment, Some(request));
        let mode = mode.map_or(Mode::Goods, |request| request.mode);
        let key = self.live_key(order).await?;
        let keys = &self.client.settings().keys;
        let signed = stored.sign(keys, &key.key).ok_or_else(|| {
            let missing = "no AppKey is configured for the environment of the order";
            ChannelError::new(ErrorClass::Misconfigured, true, missing)
        })?;
        let ClientPayment {
            sign_data,
            pay_sig,
            signature,
        } = &signed;
        let params = ClientParams {
            channel: Channel::VirtualPayment,
            mode,
            sign_data,
            pay_sig,
            signature,
        };
        PayParams::new(&params).map_err(ChannelError::internal)
    }
}

/// Returns the player's session key, unless WeChat has refused it.
pub(crate) async fn live_key(
    database: &Database,
    keyring: &Keyring,
    user: UserId,
    open_id: &OpenId,
) -> Result<LiveKey, ChannelError> {
    let transient = |error| ChannelError::new(ErrorClass::Transient, false, error);
    let refused = virtual_orders::refused_key(database, user).await;
    let refused = refused.map_err(|error| transient(error.to_string()))?;
    let keys = match session_keys::of_player(database, keyring, open_id).await {
        Ok(keys) => keys,
        Err(error) if error.is_transient() => return Err(transient(error.to_string())),
        // It cannot be opened: the next sign-in stores a new one.
        Err(error) => {
            tracing::error!(%error, user_id = %user, "the session key cannot be opened");
            None
        }
    };
    match (keys, refused) {
        (Some(keys), refused) if refused.is_none_or(|refused| refused < keys.version) => {
            Ok(LiveKey {
                key: keys.current,
                version: keys.version,
            })
        }
        (keys, refused) => {
            let version = refused.or(keys.map(|keys| keys.version)).unwrap_or(0);
            Err(sign_in_again(version))
        }
    }
}

fn sign_in_again(key_version: i64) -> ChannelError {
    let class = ErrorClass::SignInAgain(key_version);
    ChannelError::new(class, false, "the player must sign in again")
}

/// Builds the parameters that calls begin with. The player's address is not known to workers, and WeChat
/// documents no use of it.
fn caller<'a>(order: &'a Order, key: &'a LiveKey) -> Caller<'a> {
    Caller {
        open_id: &order.open_id,
        session_key: Some(&key.key),
        env: match order.sandbox {
            true => Env::Sandbox,
            false => Env::Production,
        },
        ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
    }
}

/// Translates a failed call that was signed with this version of the session key.
pub(crate) fn failure(error: VirtualPaymentError, key_version: i64) -> ChannelError {
    let class = match error.class() {
        WechatClass::SignInAgain => return sign_in_again(key_version),
        WechatClass::Retry | WechatClass::RefreshToken => ErrorClass::Transient,
        WechatClass::RateLimited => ErrorClass::RateLimited,
        WechatClass::Misconfigured => ErrorClass::Misconfigured,
        WechatClass::Permanent => ErrorClass::Permanent,
    };
    ChannelError::new(class, class == ErrorClass::Misconfigured, error)
}

#[async_trait]
impl PaymentChannel for VirtualPayment {
    fn account(&self) -> Account<'_> {
        Account {
            channel: Channel::VirtualPayment,
            merchant_id: self.client.settings().offer_id.as_str(),
            app_id: self.app_id.as_str(),
        }
    }

    fn abilities(&self) -> Abilities {
        Abilities {
            closes: false,
            refunds: false,
            statements: false,
            first_query: Some(FIRST_QUERY),
        }
    }

    fn offer_ttl(&self) -> Duration {
        OFFER_TTL
    }

    fn order_request(&self, order: &Order, wish: &Wish<'_>) -> Result<String, ChannelError> {
        let refused = |error| ChannelError::new(ErrorClass::Permanent, true, error);
        let env = match wish.sandbox {
            true => Env::Sandbox,
            false => Env::Production,
        };
        if wish.pay_with == PayWith::Coins {
            let price = wish.product.coin_price.unwrap_or(0);
            return Ok(VirtualRequest {
                mode: Mode::Spend,
                env,
                product_id: None,
                buy_quantity: price.saturating_mul(order.quantity),
                goods_price: Fen::ZERO,
            }
            .to_text());
        }
        let number = TradeNo::parse(order.id.to_string()).map_err(ChannelError::internal)?;
        let purchase = match wish.product.coins {
            Some(coins) => {
                let quantity = coins.saturating_mul(order.quantity);
                Purchase::Coins {
                    quantity: CoinAmount::new(quantity)
                        .map_err(|error| refused(error.to_string()))?,
                    coin_price: unit_price(order, quantity)?,
                }
            }
            None => Purchase::Items {
                product_id: wish
                    .product
                    .virtual_product_id
                    .as_deref()
                    .unwrap_or_default(),
                quantity: u32::try_from(order.quantity).map_err(ChannelError::internal)?,
                unit_price: unit_price(order, order.quantity)?,
                attach: None,
            },
        };
        SignData::build(self.client.settings(), env, &number, &purchase)
            .map(|data| data.as_str().to_owned())
            .map_err(|error| refused(error.to_string()))
    }

    async fn offer(&self, order: &Order, request: &str) -> Result<Offer, ChannelError> {
        Ok(Offer {
            reference: None,
            pay_params: self.sign(order, request).await?,
        })
    }

    async fn renew(&self, order: &Order) -> Result<Option<PayParams>, ChannelError> {
        match (&order.channel_request, order.offered_at) {
            (Some(request), Some(_)) => self.sign(order, request).await.map(Some),
            _ => Ok(None),
        }
    }

    async fn query(&self, order: &Order) -> Result<ChannelStatus, ChannelError> {
        // Its spend decides, which is repeated until WeChat answers clearly.
        if order.pay_with == PayWith::Coins {
            return Ok(ChannelStatus::Unpaid);
        }
        let key = self.live_key(order).await?;
        let kind = match order.grants_items() {
            true => OrderKind::Items,
            false => OrderKind::Coins,
        };
        let number = TradeNo::parse(order.id.to_string()).map_err(ChannelError::internal)?;
        let query = OrderQuery {
            out_trade_no: &number,
            kind,
        };
        let queried = self.client.query_order(&caller(order, &key), &query).await;
        let queried = queried.map_err(|error| failure(error, key.version))?;
        // Unknown: the client has not begun it, and may still do so.
        let Some(queried) = queried else {
            return Ok(ChannelStatus::Unpaid);
        };
        Ok(match queried.pay_state {
            PayState::Paid => paid(order, queried),
            PayState::Unpaid => ChannelStatus::Unpaid,
            PayState::Other(state) => {
                let unknown = format!("pay_state {state} is not known to this version");
                return Err(ChannelError::new(ErrorClass::Transient, true, unknown));
            }
        })
    }

    async fn close(&self, _: &Order) -> Result<(), ChannelError> {
        Err(ChannelError::internal("virtual payment closes no orders"))
    }

    fn refund_request(&self, _: &Order, _: &Refund) -> Result<String, ChannelError> {
        Err(ChannelError::internal(
            "virtual payment has no call that refunds",
        ))
    }

    async fn refund(&self, _: &Refund, _: &str) -> Result<RefundState, ChannelError> {
        Err(ChannelError::internal(
            "virtual payment has no call that refunds",
        ))
    }

    async fn query_refund(&self, _: &Refund) -> Result<RefundState, ChannelError> {
        Err(ChannelError::internal(
            "virtual payment has no query of refunds",
        ))
    }

    async fn read_callback(
        &self,
        _: &Received,
        _: Timestamp,
    ) -> Result<CallbackEvent, CallbackError> {
        // It reports by message push.
        Err(CallbackError::Rejected(CallbackOutcome::UnknownEvent))
    }

    async fn statement(&self, _: Date) -> Result<Option<Vec<StatementRow>>, ChannelError> {
        Ok(None)
    }
}

/// Returns the price of one of `quantity` pieces, which make up the total.
fn unit_price(order: &Order, quantity: i64) -> Result<WireFen, ChannelError> {
    let total = order.total_fee.get();
    if quantity <= 0 || total % quantity != 0 {
        let odd = "the price is no whole number of fen per piece";
        return Err(ChannelError::new(ErrorClass::Permanent, true, odd));
    }
    WireFen::new(total / quantity).map_err(ChannelError::internal)
}

/// Judges an order that WeChat reports as paid: the answer has no price, but the product.
fn paid(order: &Order, queried: QueriedOrder) -> ChannelStatus {
    let ours = order
        .virtual_request()
        .and_then(|request| request.product_id);
    if let (Some(ours), Some(theirs)) = (&ours, &queried.product_id)
        && ours != theirs
    {
        return ChannelStatus::Contradictory(CallbackOutcome::Mismatch);
    }
    ChannelStatus::Paid(PaymentReport {
        order_number: order.id.to_string(),
        payment: Payment {
            channel: Channel::VirtualPayment,
            transaction_id: queried.transaction_id.map(|id| id.as_str().to_owned()),
            total: order.total_fee,
            currency: "CNY".to_owned(),
            at: queried.paid_at.unwrap_or_else(Timestamp::now),
        },
        refunded: false,
    })
}
