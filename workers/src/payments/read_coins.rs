//! Reads a player's coins at WeChat; while that is impossible, what WeChat last reported.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use avalon_core::base::problem::ProblemCode;
use avalon_core::jobs::ReadCoins;
use avalon_core::payments::coins::{self, CoinBalance};
use avalon_queue::{JobContext, JobError};
use avalon_wechat::ErrorClass;
use avalon_wechat::virtual_payment::{Caller, CoinKind, Coins, Env};
use jiff::Timestamp;

use crate::job_errors;
use crate::payments::channel::ErrorClass as ChannelClass;
use crate::payments::channels::{failure, live_key};
use crate::payments::settlement;
use crate::services::Services;

pub(crate) async fn handle(
    services: Arc<Services>,
    job: ReadCoins,
    _: JobContext,
) -> Result<CoinBalance, JobError> {
    let client = settlement::payments(&services)?.coins.as_ref();
    let client = client.ok_or_else(|| job_errors::reject(ProblemCode::PaymentsDisabled))?;
    let database = &services.database;
    let key = match live_key(database, &services.keyring, job.user_id, &job.open_id).await {
        Ok(key) => key,
        Err(error) => match error.class {
            ChannelClass::SignInAgain(_) => return last_known(&services, &job).await,
            _ => return Err(error.into()),
        },
    };
    let caller = Caller {
        open_id: &job.open_id,
        session_key: Some(&key.key),
        env: Env::Production,
        ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
    };
    let now = Timestamp::now();
    match client.coin_balance(&caller, CoinKind::Game).await {
        Ok(read) => {
            let balance = CoinBalance {
                balance: read.balance.get(),
                granted: read.present_balance.map_or(0, Coins::get),
                as_of: now,
                stale: false,
            };
            coins::store_balance(database, job.user_id, &balance)
                .await
                .map_err(job_errors::payment)?;
            Ok(balance)
        }
        Err(error) if error.class() == ErrorClass::SignInAgain => last_known(&services, &job).await,
        Err(error) => Err(failure(error, key.version).into()),
    }
}

async fn last_known(services: &Services, job: &ReadCoins) -> Result<CoinBalance, JobError> {
    let known = coins::balance_of(&services.database, job.user_id).await;
    let known = known.map_err(job_errors::payment)?;
    known.ok_or_else(|| job_errors::reject(ProblemCode::SignInAgain))
}
