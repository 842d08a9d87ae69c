//! `avalon coins`: shows the changes of a player's coins from the database, which works while API and workers are
//! down, and records what an operator has found out about a change whose outcome is unknown.

use avalon_core::audit::{self, Actor, AuditEvent, AuditKind};
use avalon_core::payments::coins;
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
