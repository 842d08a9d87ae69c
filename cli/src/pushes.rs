//! `avalon pushes`: reads the messages that WeChat pushed from the database, which works while API and workers
//! are down, and has workers process them again. `verify` explains a recorded one.

mod verify;

use avalon_core::audit::{self, Actor, AuditEvent, AuditKind};
use avalon_core::base::ids::PushId;
use avalon_core::base::iso_time::IsoTime;
use avalon_core::platform::pushes::{self, PushFilter, StoredPush};
use avalon_core::storage::database::Database;
use jiff::Timestamp;
use serde_json::Value;

use crate::arguments::PushesCommand;
use crate::config::Config;
use crate::failure::Failure;

pub(crate) async fn run(config: &Config, command: PushesCommand) -> Result<(), Failure> {
    let database = Database::new(&config.database)?;
    match command {
        PushesCommand::List {
            event,
            status,
            limit,
            json,
        } => {
            let filter = PushFilter {
                event,
                status,
                cursor: None,
                limit: i64::from(limit),
            };
            list(&database, &filter, json).await
        }
        PushesCommand::Show { id, json } => show(&database, &id, json).await,
        PushesCommand::Replay { id } => replay(&database, &id).await,
        PushesCommand::Verify { file, json } => verify::run(config, &file, json).await,
    }
}

async fn list(database: &Database, filter: &PushFilter, as_json: bool) -> Result<(), Failure> {
    let found = pushes::list(database, filter).await?;
    if as_json {
        let found: Vec<Value> = found.iter().map(StoredPush::to_json).collect();
        println!("{}", serde_json::to_string_pretty(&found)?);
        return Ok(());
    }
    println!("{:<26}  {:<24}  {:<13}  event", "id", "received", "status");
    for push in &found {
        let received = time(Some(push.received_at));
        let status = push.status().as_str();
        println!("{}  {received:<24}  {status:<13}  {}", push.id, push.event);
    }
    Ok(())
}

async fn show(database: &Database, id: &str, as_json: bool) -> Result<(), Failure> {
    let unknown = || Failure::NoSuchPush(id.to_owned());
    // A malformed id is that of no push.
    let known: PushId = id.parse().map_err(|_| unknown())?;
    let found = pushes::by_id(database, known).await?;
    let (push, message) = found.ok_or_else(unknown)?;
    if as_json {
        let mut shown = push.to_json();
        shown["message"] = message.into();
        println!("{}", serde_json::to_string_pretty(&shown)?);
        return Ok(());
    }
    let id = push.id.to_string();
    for (name, value) in [
        ("push", id.as_str()),
        ("event", &push.event),
        ("status", push.status().as_str()),
        ("credential", &push.credential),
        ("mode", &push.mode),
        ("format", &push.format),
        ("received", &time(Some(push.received_at))),
        ("processed", &time(push.processed_at)),
    ] {
        println!("{name:<10}  {value}");
    }
    // Without the control characters of a terminal.
    println!("message     {}", message.replace(char::is_control, " "));
    Ok(())
}

async fn replay(database: &Database, id: &str) -> Result<(), Failure> {
    let unknown = || Failure::NoSuchPush(id.to_owned());
    let known: PushId = id.parse().map_err(|_| unknown())?;
    if !pushes::replay(database, known, Timestamp::now()).await? {
        return Err(unknown());
    }
    let event = AuditEvent::new(AuditKind::PushReplayed, Actor::Operator);
    audit::record(database, event.with("pushId", known.to_string())).await;
    println!("push {known} is pending again; the workers process it within seconds");
    Ok(())
}

fn time(ms: Option<i64>) -> String {
    ms.and_then(IsoTime::from_millisecond)
        .map_or_else(|| "-".to_owned(), |time| time.to_string())
}
