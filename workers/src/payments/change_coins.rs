//! Has WeChat apply a stored change of coins, and records what it answers. An answer is clear or it is not: after
//! an unclear one the same number is sent again.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use avalon_core::base::problem::ProblemCode;
use avalon_core::jobs::ChangeCoins;
use avalon_core::payments::coins::{self, Begun, CoinChange, CoinChangeKind, CoinChangeState};
use avalon_core::payments::{Cause, OrderStatus, order_rows, orders};
use avalon_queue::{JobContext, JobError};
use avalon_wechat::ErrorClass;
use avalon_wechat::virtual_payment::{
    Applied, BillNo, Caller, CoinAmount, Coins, Env, Present, Spend, SpendCancellation,
    VirtualPaymentClient, VirtualPaymentCode, VirtualPaymentError,
};
use jiff::Timestamp;

use crate::job_errors;
use crate::payments::channel::{ChannelError, ErrorClass as ChannelClass};
use crate::payments::channels::live_key;
use crate::payments::metrics::SpendOutcome;
use crate::payments::settlement;
use crate::services::Services;

/// What an attempt came to.
#[derive(Debug)]
pub(crate) enum Attempt {
    /// The change has ended.
    Ended(CoinChangeState),
    /// It was refused: the player has too few coins.
    NotEnough,
    /// It waits for the player's next sign-in.
    AwaitsSignIn,
    /// WeChat has not answered clearly, or could not be asked: the same number is sent again.
    Unclear,
}

pub(crate) async fn handle(
    services: Arc<Services>,
    job: ChangeCoins,
    _: JobContext,
) -> Result<CoinChange, JobError> {
    let change = find(&services, &job.id).await?;
    // What it came to is in the row; the sweeper makes the next attempt.
    attempt(&services, &change).await?;
    find(&services, &job.id).await
}

async fn find(services: &Services, id: &str) -> Result<CoinChange, JobError> {
    let found = coins::by_id(&services.database, id).await;
    let found = found.map_err(job_errors::payment)?;
    found.ok_or_else(|| job_errors::reject(ProblemCode::NotFound))
}

/// Makes the next attempt of a change, unless it has ended.
pub(crate) async fn attempt(services: &Services, change: &CoinChange) -> Result<Attempt, JobError> {
    let database = &services.database;
    let client = settlement::payments(services)?.coins.as_ref();
    let client = client.ok_or_else(|| job_errors::reject(ProblemCode::PaymentsDisabled))?;
    let Some(planned) = Planned::of(change) else {
        return invalid(services, change).await;
    };
    let key = match live_key(database, &services.keyring, change.user_id, &change.open_id).await {
        Ok(key) => key,
        Err(error) => return without_key(services, change, error).await,
    };
    let begun = coins::begin(database, &change.id, Timestamp::now()).await;
    let (change, is_first) = match begun.map_err(job_errors::payment)? {
        Begun::Call { change, is_first } => (change, is_first),
        Begun::Ended(change) => {
            if change.state == CoinChangeState::Unsettled {
                tracing::error!(bill_no = change.id, "a change of coins needs an operator");
                services.metrics.spend(change.kind, SpendOutcome::Unsettled);
            }
            return Ok(Attempt::Ended(change.state));
        }
    };
    let caller = Caller {
        open_id: &change.open_id,
        session_key: Some(&key.key),
        env: match change.sandbox {
            true => Env::Sandbox,
            false => Env::Production,
        },
        // The player's address is not known here, and WeChat documents no use of it.
        ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
    };
    match planned.call(client, &caller).await {
        Ok(balance) => confirmed(services, &change, balance).await,
        Err(error) if error.may_have_taken_effect() => {
            tracing::warn!(%error, bill_no = change.id, "a change of coins is unclear, will repeat it");
            services.metrics.spend(change.kind, SpendOutcome::Unclear);
            Ok(Attempt::Unclear)
        }
        Err(error) => {
            if is_first {
                let cleared = coins::not_applied(database, &change).await;
                cleared.map_err(job_errors::payment)?;
            }
            declined(services, &change, &error, key.version).await
        }
    }
}

async fn without_key(
    services: &Services,
    change: &CoinChange,
    error: ChannelError,
) -> Result<Attempt, JobError> {
    match error.class {
        ChannelClass::SignInAgain(version) => wait(services, change, version).await,
        _ => Err(error.into()),
    }
}

async fn wait(
    services: &Services,
    change: &CoinChange,
    key_version: i64,
) -> Result<Attempt, JobError> {
    let waits = coins::await_sign_in(&services.database, change, key_version).await;
    waits.map_err(job_errors::payment)?;
    services
        .metrics
        .spend(change.kind, SpendOutcome::AwaitsSignIn);
    Ok(Attempt::AwaitsSignIn)
}

/// A call whose parameters follow WeChat's rules.
struct Planned<'a> {
    bill_no: BillNo,
    amount: CoinAmount,
    kind: PlannedKind<'a>,
}

enum PlannedKind<'a> {
    Spend { item: &'a str },
    Return { spend: BillNo },
    Present,
}

impl<'a> Planned<'a> {
    /// Plans the call of a stored change; `None` when the row violates WeChat's rules, so that it can never have been
    /// sent.
    fn of(change: &'a CoinChange) -> Option<Self> {
        Some(Self {
            bill_no: BillNo::parse(change.id.clone()).ok()?,
            amount: CoinAmount::new(change.amount).ok()?,
            kind: match change.kind {
                CoinChangeKind::Spend => PlannedKind::Spend {
                    item: &change.reason,
                },
                CoinChangeKind::Return => PlannedKind::Return {
                    spend: BillNo::parse(change.order_id?.to_string()).ok()?,
                },
                CoinChangeKind::Present => PlannedKind::Present,
            },
        })
    }

    /// Makes the call; returns the player's coins after it, as far as WeChat reports them. A repeated number is a
    /// success: nothing else is ever sent under the number of this row.
    async fn call(
        &self,
        client: &VirtualPaymentClient,
        caller: &Caller<'_>,
    ) -> Result<Option<i64>, VirtualPaymentError> {
        let (bill_no, amount) = (&self.bill_no, self.amount);
        let balance = |coins: Coins| Some(coins.get());
        Ok(match &self.kind {
            PlannedKind::Spend { item } => {
                let spend = Spend {
                    bill_no,
                    amount,
                    item: Some(item),
                    remark: None,
                };
                match client.spend_coins(caller, &spend).await? {
                    Applied::Now(spent) => balance(spent.balance),
                    Applied::Before(_) => None,
                }
            }
            PlannedKind::Return { spend } => {
                let cancellation = SpendCancellation {
                    bill_no,
                    spend,
                    amount,
                };
                match client.cancel_spend(caller, &cancellation).await? {
                    Applied::Now(cancelled) => cancelled.balance.and_then(balance),
                    Applied::Before(_) => None,
                }
            }
            PlannedKind::Present => {
                let present = Present { bill_no, amount };
                match client.present_coins(caller, &present).await? {
                    Applied::Now(presented) => balance(presented.balance),
                    Applied::Before(_) => None,
                }
            }
        })
    }
}

/// Ends a change whose row violates WeChat's rules: nothing was ever sent, and a repeat would not help.
async fn invalid(services: &Services, change: &CoinChange) -> Result<Attempt, JobError> {
    tracing::error!(
        bill_no = change.id,
        "a stored change of coins is invalid and was ended"
    );
    if change.state == CoinChangeState::Pending {
        refuse(services, change, false).await?;
        services.metrics.spend(change.kind, SpendOutcome::Invalid);
    }
    Ok(Attempt::Ended(CoinChangeState::Refused))
}

async fn confirmed(
    services: &Services,
    change: &CoinChange,
    balance: Option<i64>,
) -> Result<Attempt, JobError> {
    let (database, now) = (&services.database, Timestamp::now());
    let changed = coins::confirm(database, change, balance, services.webhooks(), now).await;
    if let Some(order) = changed.map_err(job_errors::payment)? {
        services.metrics.order(order.status, order.channel);
        tracing::info!(order_id = %order.id, status = %order.status, "coins changed an order");
        services.analytics.relay.wake();
    }
    services.metrics.spend(change.kind, SpendOutcome::Done);
    settlement::enqueue_webhooks(services).await;
    Ok(Attempt::Ended(CoinChangeState::Done))
}

/// Records a clear answer that is no success.
async fn declined(
    services: &Services,
    change: &CoinChange,
    error: &VirtualPaymentError,
    key_version: i64,
) -> Result<Attempt, JobError> {
    match error.class() {
        ErrorClass::SignInAgain => return wait(services, change, key_version).await,
        ErrorClass::Retry | ErrorClass::RateLimited | ErrorClass::RefreshToken => {
            tracing::warn!(%error, bill_no = change.id, "virtual payment is unavailable, will retry");
            return Ok(Attempt::Unclear);
        }
        ErrorClass::Misconfigured => {
            tracing::error!(%error, bill_no = change.id, "virtual payment refuses our settings");
            services
                .metrics
                .spend(change.kind, SpendOutcome::Misconfigured);
            return Ok(Attempt::Unclear);
        }
        ErrorClass::Permanent => {}
    }
    let short = error.code() == Some(VirtualPaymentCode::InsufficientCoins);
    if !short {
        tracing::error!(%error, bill_no = change.id, kind = %change.kind, "a change of coins was refused");
    }
    let outcome = match short {
        true => SpendOutcome::NotEnough,
        false => SpendOutcome::Refused,
    };
    refuse(services, change, short).await?;
    services.metrics.spend(change.kind, outcome);
    Ok(match short {
        true => Attempt::NotEnough,
        false => Attempt::Ended(CoinChangeState::Refused),
    })
}

/// Ends the order of a refused spend first: were the change ended first, a crash would leave it pending.
async fn refuse(services: &Services, change: &CoinChange, short: bool) -> Result<(), JobError> {
    let (database, now) = (&services.database, Timestamp::now());
    if let (CoinChangeKind::Spend, Some(id)) = (change.kind, change.order_id) {
        let cause = match short {
            true => Cause::NotEnoughCoins,
            false => Cause::RefusedByChannel,
        };
        let order = order_rows::by_id(database, id)
            .await
            .map_err(job_errors::payment)?;
        let failed = OrderStatus::Failed;
        if let Some(order) = order {
            let ended = orders::end_unpaid(database, order.id, failed, cause, None, now).await;
            if ended.map_err(job_errors::payment)?.is_some() {
                services.metrics.order(failed, order.channel);
            }
        }
    }
    coins::refuse(database, &change.id, now)
        .await
        .map_err(job_errors::payment)?;
    Ok(())
}
