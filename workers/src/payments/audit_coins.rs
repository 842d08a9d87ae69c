//! Compares players' coins with WeChat's sums, each player daily and few at a time: a call per player, far below
//! WeChat's limits. What is not reached stays due, so a run that ends early loses nothing.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use avalon_core::jobs::MAINTENANCE;
use avalon_core::payments::coins::audit::{self, Compared, DueAudit, Sums};
use avalon_queue::{IdempotencyKey, Job, JobContext, JobError, QueueName, RetryPolicy};
use avalon_wechat::ErrorClass;
use avalon_wechat::virtual_payment::{
    Caller, CoinBalance, CoinKind, Coins, Env, VirtualPaymentClient,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::job_errors;
use crate::payments::channel::ErrorClass as ChannelClass;
use crate::payments::channels::live_key;
use crate::payments::metrics::AuditOutcome;
use crate::schedule;
use crate::services::Services;

/// Players per run, at most one run per minute: 57,600 a day.
const BATCH: i64 = 40;
/// Time between two calls.
const PAUSE: Duration = Duration::from_millis(250);
/// A run ends after this; the next one continues.
const MAX_TIME: Duration = Duration::from_secs(40);

/// Compares the coins of some players.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AuditCoins {}

impl Job for AuditCoins {
    const QUEUE: QueueName = MAINTENANCE;
    const KIND: &'static str = "audit_coins";
    const RETRY: RetryPolicy = schedule::RETRY;
    const TIME_LIMIT: Duration = Duration::from_secs(55);
    const RESULT_TTL: Duration = Duration::from_secs(60);
    const DEAD_TTL: Option<Duration> = Some(Duration::from_secs(3600));
    /// Number of players whose coins were compared.
    type Output = u64;

    /// One at a time in the fleet, and one per run of the schedule.
    fn key(&self) -> Option<IdempotencyKey> {
        Some(IdempotencyKey::new(Self::KIND, Duration::from_secs(50)))
    }
}

pub(crate) async fn handle(
    services: Arc<Services>,
    _: AuditCoins,
    _: JobContext,
) -> Result<u64, JobError> {
    let client = services.pay.as_ref().and_then(|pay| pay.coins.as_ref());
    // Virtual payment was configured when the job was enqueued.
    let Some(client) = client else { return Ok(0) };
    let start = Instant::now();
    let due = audit::due(&services.database, Timestamp::now(), BATCH).await;
    let (mut compared, mut called) = (0, false);
    for player in due.map_err(job_errors::payment)? {
        if start.elapsed() > MAX_TIME {
            break;
        }
        let outcome = compare(&services, client, &player, &mut called).await?;
        services.metrics.audited(outcome);
        compared += u64::from(matches!(
            outcome,
            AuditOutcome::Agrees | AuditOutcome::Differs
        ));
        if outcome == AuditOutcome::Failed {
            break;
        }
    }
    Ok(compared)
}

async fn compare(
    services: &Services,
    client: &VirtualPaymentClient,
    player: &DueAudit,
    called: &mut bool,
) -> Result<AuditOutcome, JobError> {
    let (database, user) = (&services.database, player.user_id);
    let before = audit::recorded(database, user, Timestamp::now())
        .await
        .map_err(job_errors::payment)?;
    if before.in_flux {
        return postpone(services, player).await;
    }
    let key = match live_key(database, &services.keyring, user, &player.open_id).await {
        Ok(key) => key,
        Err(error) => match error.class {
            ChannelClass::SignInAgain(_) => return await_sign_in(services, player).await,
            _ => return Err(error.into()),
        },
    };
    if std::mem::replace(called, true) {
        tokio::time::sleep(PAUSE).await;
    }
    let caller = Caller {
        open_id: &player.open_id,
        session_key: Some(&key.key),
        env: Env::Production,
        ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
    };
    let reported = match client.coin_balance(&caller, CoinKind::Game).await {
        Ok(balance) => sums(&balance),
        Err(error) if error.class() == ErrorClass::SignInAgain => {
            return await_sign_in(services, player).await;
        }
        Err(error) if error.class() == ErrorClass::Permanent => {
            // Refused for this player alone: the others are not held up.
            tracing::warn!(%error, user_id = %user, "the coins of a player cannot be read");
            return postpone(services, player).await;
        }
        Err(error) => {
            tracing::warn!(%error, "comparison of coins stopped, will continue");
            return Ok(AuditOutcome::Failed);
        }
    };
    let Some(reported) = reported else {
        tracing::warn!(user_id = %user, "WeChat reports no sums of coins");
        return postpone(services, player).await;
    };
    let now = Timestamp::now();
    let after = audit::recorded(database, user, now).await;
    // The player bought or spent meanwhile.
    if after.map_err(job_errors::payment)? != before {
        return postpone(services, player).await;
    }
    let compared = audit::compare(database, user, &before, reported, now).await;
    Ok(match compared.map_err(job_errors::payment)? {
        Compared::Agrees => AuditOutcome::Agrees,
        Compared::Differs(off) => {
            tracing::error!(user_id = %user, ?off, "the coins of a player differ from WeChat's sums");
            AuditOutcome::Differs
        }
    })
}

async fn postpone(services: &Services, player: &DueAudit) -> Result<AuditOutcome, JobError> {
    audit::postpone(&services.database, player.user_id, Timestamp::now())
        .await
        .map_err(job_errors::payment)?;
    Ok(AuditOutcome::Postponed)
}

async fn await_sign_in(services: &Services, player: &DueAudit) -> Result<AuditOutcome, JobError> {
    audit::await_sign_in(&services.database, player.user_id)
        .await
        .map_err(job_errors::payment)?;
    Ok(AuditOutcome::AwaitsSignIn)
}

fn sums(balance: &CoinBalance) -> Option<Sums> {
    Some(Sums {
        saved: balance.sum_save.map(Coins::get)?,
        presented: balance.sum_present.map(Coins::get)?,
        spent: balance.sum_cost.map(Coins::get)?,
    })
}
