//! `avalon keys`: shows which keys encrypt the database, re-encrypts it with the current key, and generates
//! keys.

use std::io::{IsTerminal, stderr};
use std::time::{Duration, Instant};

use crate::config::Config;
use avalon_core::accounts::tokens::SigningKey;
use avalon_core::audit::{self, Actor, AuditEvent, AuditKind};
use avalon_core::storage::database::Database;
use avalon_core::storage::keyring::{EncryptionKey, Keyring};
use avalon_core::storage::rotation::{self, KeyStatus, KeyUse, Rotated};
use secrecy::ExposeSecret;
use serde_json::json;

use crate::app::stores;
use crate::arguments::{KeyPurpose, KeysCommand};
use crate::failure::Failure;

/// Interval of progress messages.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);

pub(crate) async fn run(config: &Config, command: KeysCommand) -> Result<(), Failure> {
    let keyring = stores::keyring(config)?;
    let database = Database::new(&config.database)?;
    match command {
        KeysCommand::Rotate { json } => rotate(&database, &keyring, json).await,
        KeysCommand::Status { json } => status(&database, &keyring, json).await,
        KeysCommand::Generate { purpose } => generate(purpose),
    }
}

/// Prints a new key to standard output, and nothing else.
pub(crate) fn generate(purpose: KeyPurpose) -> Result<(), Failure> {
    match purpose {
        KeyPurpose::Encryption => {
            println!("{}", EncryptionKey::generate()?.to_base64().expose_secret());
        }
        KeyPurpose::Signing => print!("{}", SigningKey::generate_pem()?.expose_secret()),
    }
    Ok(())
}

async fn rotate(database: &Database, keyring: &Keyring, json: bool) -> Result<(), Failure> {
    let uses = rotation::status(database, keyring).await?;
    let previous = uses.iter().filter(|use_| use_.key == KeyStatus::Previous);
    let mut progress = Progress::new(previous.map(|use_| use_.sealed).sum());
    let rotated = rotation::rotate(database, keyring, |rotated| progress.report(rotated)).await?;
    progress.end();
    let event = AuditEvent::new(AuditKind::KeysRotated, Actor::Operator)
        .with("keyId", keyring.current_key_id())
        .with("resealed", rotated.resealed)
        .with("damaged", rotated.damaged)
        .with("unknown", rotated.unknown);
    audit::record(database, event).await;
    if json {
        let report = json!({"keyId": keyring.current_key_id(), "rotated": rotated});
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        println!(
            "{} values encrypted with key {}; {} were changed concurrently",
            rotated.resealed,
            keyring.current_key_id(),
            rotated.overtaken
        );
    }
    match rotated.is_complete() {
        true => Ok(()),
        false => Err(Failure::NotRotated {
            damaged: rotated.damaged,
            unknown: rotated.unknown,
        }),
    }
}

/// Progress of a rotation on standard error: one updated line on a terminal, otherwise separate lines.
struct Progress {
    of: i64,
    reported_at: Instant,
    terminal: bool,
}

impl Progress {
    fn new(of: i64) -> Self {
        Self {
            of,
            reported_at: Instant::now(),
            terminal: stderr().is_terminal(),
        }
    }

    fn report(&mut self, rotated: &Rotated) {
        if self.reported_at.elapsed() < PROGRESS_INTERVAL {
            return;
        }
        self.reported_at = Instant::now();
        let done = rotated.resealed + rotated.overtaken + rotated.damaged;
        let of = self.of;
        match self.terminal {
            true => eprint!("\r{done} of {of}"),
            false => eprintln!("{done} of {of}"),
        }
    }

    fn end(&self) {
        if self.terminal {
            eprint!("\r\x1b[K");
        }
    }
}

async fn status(database: &Database, keyring: &Keyring, json: bool) -> Result<(), Failure> {
    let uses = rotation::status(database, keyring).await?;
    if json {
        let report = json!({"currentKeyId": keyring.current_key_id(), "sealed": uses});
        println!("{}", serde_json::to_string_pretty(&report)?);
        return Ok(());
    }
    println!(
        "{:<30}  {:<8}  {:<8}  {:>10}",
        "column", "key", "", "values"
    );
    for KeyUse {
        column,
        key_id,
        key,
        sealed,
    } in uses
    {
        let standing = match key {
            KeyStatus::Current => "current",
            KeyStatus::Previous => "previous",
            KeyStatus::Unknown => "unknown",
        };
        println!("{column:<30}  {key_id:<8}  {standing:<8}  {sealed:>10}");
    }
    Ok(())
}
