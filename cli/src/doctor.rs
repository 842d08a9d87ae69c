//! `avalon doctor`: checks everything that a running service depends on. Changes nothing, and calls only
//! WeChat APIs that are free.

mod addresses;
mod push;
mod stores;
mod virtual_payment;
mod wechat;

use std::path::Path;

use crate::config::{Config, Role, process_env};
use serde::Serialize;
use strum::AsRefStr;

use crate::failure::Failure;
use crate::progress;

/// Result of a check. The strum names are printed, the serde names are for JSON.
#[derive(AsRefStr, Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub(crate) enum Health {
    /// No problem.
    Ok,
    /// Works, but needs attention.
    Warn,
    /// Does not work, or may lose data.
    #[strum(serialize = "FAIL")]
    Fail,
    /// Not configured.
    #[strum(serialize = "-")]
    Skipped,
}

/// A check with its result.
#[derive(Debug, Serialize)]
pub(crate) struct Check {
    name: &'static str,
    health: Health,
    detail: String,
}

/// All results, in order.
#[derive(Default)]
pub(crate) struct Findings(Vec<Check>);

impl Findings {
    pub(crate) fn add(&mut self, name: &'static str, health: Health, detail: impl Into<String>) {
        self.0.push(Check {
            name,
            health,
            detail: detail.into(),
        });
    }

    pub(crate) fn ok(&mut self, name: &'static str, detail: impl Into<String>) {
        self.add(name, Health::Ok, detail);
    }

    pub(crate) fn warn(&mut self, name: &'static str, detail: impl Into<String>) {
        self.add(name, Health::Warn, detail);
    }

    pub(crate) fn fail(&mut self, name: &'static str, detail: impl Into<String>) {
        self.add(name, Health::Fail, detail);
    }

    pub(crate) fn skip(&mut self, name: &'static str, detail: impl Into<String>) {
        self.add(name, Health::Skipped, detail);
    }

    fn failed(&self) -> usize {
        let failed = self.0.iter().filter(|check| check.health == Health::Fail);
        failed.count()
    }
}

/// Runs and prints all checks; fails if one of them fails.
pub(crate) async fn run(path: Option<&Path>, role: Role, json: bool) -> Result<(), Failure> {
    let mut findings = Findings::default();
    match Config::load(path, process_env(), role) {
        Ok(config) => {
            findings.ok("configuration", format!("complete for role {role}"));
            check_all(&config, &mut findings).await;
        }
        Err(error) => findings.fail("configuration", error.to_string()),
    }
    print(&findings, json)?;
    match findings.failed() {
        0 => Ok(()),
        failed => Err(Failure::ChecksFailed(failed)),
    }
}

async fn check_all(config: &Config, findings: &mut Findings) {
    let progress = progress::steps(6);
    progress.set_message("database");
    stores::database(config, findings).await;
    progress.inc(1);
    progress.set_message("queue");
    stores::queue(config, findings).await;
    progress.inc(1);
    progress.set_message("WeChat");
    wechat::platform(config, findings).await;
    progress.inc(1);
    progress.set_message("WeChat Pay");
    wechat::pay(config, findings).await;
    progress.inc(1);
    progress.set_message("message push");
    push::check(config, findings).await;
    progress.inc(1);
    progress.set_message("addresses");
    addresses::check(config, findings).await;
    progress.finish_and_clear();
}

fn print(findings: &Findings, json: bool) -> Result<(), Failure> {
    if json {
        let all = serde_json::json!({"ok": findings.failed() == 0, "checks": findings.0});
        println!("{}", serde_json::to_string_pretty(&all)?);
        return Ok(());
    }
    for check in &findings.0 {
        println!(
            "{:<4}  {:<22}  {}",
            check.health.as_ref(),
            check.name,
            check.detail
        );
    }
    Ok(())
}
