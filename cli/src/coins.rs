//! `avalon coins`: shows the changes of a player's coins from the database, which works while API and workers are
//! down, and records what an operator has found out about a change whose outcome is unknown, or about coins that differ
//! from WeChat's sums.

use avalon_core::audit::{self, Actor, AuditEvent, AuditKind};
use avalon_core::base::iso_time::IsoTime;
use avalon_core::payments::coins::{self, audit as audits};
use avalon_core::payments::fulfilments::Webhooks;
use avalon_core::storage::database::Database;
use avalon_wechat::OpenId;
use jiff::Timestamp;
use serde_json::json;

use crate::arguments::{CoinsCommand, SpendOutcome};
use crate::config::Config;
use crate::failure::Failure;

/// Changes of one player that are shown.
const MAX_SHOWN: i64 = 200;

pub(crate) async fn run(config: &Config, command: CoinsCommand) -> Result<(), Failure> {
    let database = Database::new(&config.database)?;
    match command {
        CoinsCommand::Show { open_id, json } => show(&database, open_id, json).await,
        CoinsCommand::Audit { json } => list_differences(&database, json).await,
        CoinsCommand::Accept { open_id, reason } => accept(&database, open_id, reason).await,
        CoinsCommand::Settle {
            id,
            outcome,
            reason,
        } => {
            let webhooks = match config.fulfil.webhook_url {
                Some(_) => Webhooks::Stored,
                None => Webhooks::Off,
            };
            settle(&database, &id, outcome, reason, webhooks).await
        }
    }
}

async fn show(database: &Database, open_id: String, as_json: bool) -> Result<(), Failure> {
    let found = coins::of_player(database, &OpenId::new(open_id), MAX_SHOWN).await?;
    if as_json {
        println!("{}", serde_json::to_string_pretty(&json!(found))?);
        return Ok(());
    }
    println!(
        "{:<50}  {:<8}  {:>10}  {:<10}  reason",
        "id", "kind", "coins", "state"
    );
    for change in &found {
        let (kind, state) = (change.kind.to_string(), change.state.to_string());
        // Without the control characters of a terminal.
        let reason = change.reason.replace(char::is_control, " ");
        println!(
            "{:<50}  {kind:<8}  {:>10}  {state:<10}  {reason}",
            change.id, change.amount
        );
    }
    Ok(())
}

async fn list_differences(database: &Database, as_json: bool) -> Result<(), Failure> {
    let found = audits::differences(database, MAX_SHOWN).await?;
    if as_json {
        println!("{}", serde_json::to_string_pretty(&json!(found))?);
        return Ok(());
    }
    println!(
        "{:<32}  {:>10}  {:>10}  {:>10}  found",
        "player", "bought", "granted", "spent"
    );
    for difference in &found {
        let (off, at) = (difference.off, IsoTime(difference.at));
        println!(
            "{:<32}  {:>+10}  {:>+10}  {:>+10}  {at}",
            difference.open_id.as_str(),
            off.saved,
            off.presented,
            off.spent
        );
    }
    Ok(())
}

async fn accept(database: &Database, open_id: String, reason: String) -> Result<(), Failure> {
    let accepted = audits::accept(database, &OpenId::new(open_id.clone())).await?;
    let (user, off) = accepted.ok_or_else(|| Failure::NoDifference(open_id.clone()))?;
    let event = AuditEvent::new(AuditKind::CoinDifferenceAccepted, Actor::Operator).user(user);
    let event = event
        .with("saved", off.saved)
        .with("presented", off.presented)
        .with("spent", off.spent);
    audit::record(database, event.with("reason", reason)).await;
    println!("the difference of {open_id} is accepted");
    Ok(())
}

async fn settle(
    database: &Database,
    id: &str,
    outcome: SpendOutcome,
    reason: String,
    webhooks: Webhooks,
) -> Result<(), Failure> {
    let unsettled = || Failure::NotUnsettled(id.to_owned());
    let change = coins::by_id(database, id).await?.ok_or_else(unsettled)?;
    let applied = outcome == SpendOutcome::Applied;
    if !coins::decide(database, &change, applied, webhooks, Timestamp::now()).await? {
        return Err(unsettled());
    }
    let event = AuditEvent::new(AuditKind::CoinsSettled, Actor::Operator).user(change.user_id);
    let event = event
        .with("billNo", change.id.clone())
        .with("applied", applied);
    audit::record(database, event.with("reason", reason)).await;
    println!("change {id} is settled");
    Ok(())
}
