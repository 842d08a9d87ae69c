//! `avalon doctor`: looks at everything that a running service needs and says what is wrong with it.
//! It changes nothing; of WeChat it asks what costs nothing.

mod addresses;
mod stores;
mod wechat;

use std::path::Path;

use crate::config::{Config, Role, process_env};
use serde::Serialize;

use crate::failure::Failure;
use crate::progress;

/// How one thing was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Health {
    /// As it should be.
    Ok,
    /// It works; somebody should look at it.
    Warn,
    /// It does not work, or will lose something.
    Fail,
    /// Not configured, so not looked at.
    Skipped,
}

impl Health {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "FAIL",
            Self::Skipped => "-",
        }
    }
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
pub(crate) struct Check {
    name: &'static str,
    health: Health,
    detail: String,
}

/// All that was found, in order.
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

/// Looks at everything, prints it, and fails when something fails.
pub(crate) async fn run(path: Option<&Path>, role: Role, json: bool) -> Result<(), Failure> {
    let mut findings = Findings::default();
    match Config::load(path, process_env(), role) {
        Ok(config) => {
            findings.ok("configuration", format!("complete for the role {role}"));
            look(&config, &mut findings).await;
        }
        Err(error) => findings.fail("configuration", error.to_string()),
    }
    print(&findings, json)?;
    match findings.failed() {
        0 => Ok(()),
        failed => Err(Failure::ChecksFailed(failed)),
    }
}

async fn look(config: &Config, findings: &mut Findings) {
    let progress = progress::steps(5);
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
    progress.set_message("addresses");
    addresses::look(config, findings).await;
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
            check.health.as_str(),
            check.name,
            check.detail
        );
    }
    Ok(())
}
