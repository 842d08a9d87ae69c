//! Checks the database and the queue: availability, schema version and durability.

use std::time::Duration;

use crate::config::Config;
use avalon_core::storage::database::Database;
use avalon_queue::{RedisSettings, RedisStreams, ServerInfo, StoreError};

use super::Findings;
use crate::app::stores;

/// Timeout of the database.
const TIMEOUT: Duration = Duration::from_secs(5);

pub(super) async fn database(config: &Config, findings: &mut Findings) {
    const NAME: &str = "database";
    let url = &config.database.url;
    // Connecting would create the file.
    if let Some(file) = url.sqlite_path()
        && !file.exists()
    {
        findings.warn(
            NAME,
            format!("{url} does not exist yet; it is created at the start"),
        );
        return;
    }
    let database = match Database::new(&config.database) {
        Ok(database) => database,
        Err(error) => return findings.fail(NAME, error.to_string()),
    };
    match tokio::time::timeout(TIMEOUT, database.ping()).await {
        Ok(Ok(())) => findings.ok(NAME, format!("{url} responds")),
        Ok(Err(error)) => return findings.fail(NAME, error.to_string()),
        Err(_) => return findings.fail(NAME, format!("{url} does not respond")),
    }
    const SCHEMA: &str = "schema";
    match database.missing_migrations().await {
        Ok(missing) if missing.is_empty() => findings.ok(SCHEMA, "up to date"),
        Ok(missing) if config.database.auto_migrate => {
            let names = missing.join(", ");
            findings.warn(
                SCHEMA,
                format!("will be migrated at the next start: {names}"),
            );
        }
        Ok(missing) => {
            let names = missing.join(", ");
            findings.fail(SCHEMA, format!("not applied: {names}; run avalon migrate"));
        }
        Err(error) => findings.fail(SCHEMA, error.to_string()),
    }
}

pub(super) async fn queue(config: &Config, findings: &mut Findings) {
    const NAME: &str = "queue";
    let Some(nodes) = &config.redis.url else {
        let path = config.queue_path();
        match path.exists() {
            true => findings.ok(NAME, format!("embedded, {}", path.display())),
            false => findings.warn(
                NAME,
                format!("embedded; {} is created at the start", path.display()),
            ),
        }
        return;
    };
    let endpoint = match stores::redis(config) {
        Ok(Some(endpoint)) => endpoint,
        Ok(None) => return,
        Err(error) => return findings.fail(NAME, error.to_string()),
    };
    let servers = endpoint.servers().await;
    let configured = nodes.joined().split(',').count();
    if servers.len() < configured {
        let silent = configured - servers.len();
        findings.fail(
            NAME,
            format!("{silent} of {configured} Redis servers do not respond"),
        );
    }
    for server in &servers {
        version(server, findings);
        memory(server, findings);
    }
    if !servers.is_empty() {
        let settings = RedisSettings {
            prefix: config.redis.key_prefix.clone(),
            queues: vec![],
            shards: 1,
        };
        durability(&RedisStreams::new(endpoint, settings), findings).await;
    }
}

fn version(server: &ServerInfo, findings: &mut Findings) {
    let ServerInfo { node, version, .. } = server;
    let mut parts = version
        .split('.')
        .map_while(|part| part.parse::<u32>().ok());
    let known = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    if known < (6, 2) {
        findings.fail(
            "queue",
            format!("{node} is Redis {version}; 6.2 or newer is required"),
        );
    } else {
        findings.ok("queue", format!("{node} is Redis {version}"));
    }
}

fn memory(server: &ServerInfo, findings: &mut Findings) {
    const NAME: &str = "Redis memory";
    let ServerInfo { node, .. } = server;
    let (used, limit) = (server.used_memory, server.maxmemory);
    if server.evicted_keys > 0 {
        let keys = server.evicted_keys;
        findings.fail(
            NAME,
            format!("{node} has evicted {keys} keys; jobs may be lost"),
        );
    }
    if limit > 0 && used > limit / 10 * 8 {
        let percent = used.saturating_mul(100) / limit;
        findings.warn(NAME, format!("{node} uses {percent} % of its maxmemory"));
    } else {
        findings.ok(NAME, format!("{node} uses {} MiB", used >> 20));
    }
}

async fn durability(redis: &RedisStreams, findings: &mut Findings) {
    const NAME: &str = "Redis durability";
    match redis.durability_warnings().await {
        Ok(warnings) if warnings.is_empty() => {
            findings.ok(NAME, "appendonly yes, appendfsync always, noeviction");
        }
        Ok(warnings) => {
            for warning in warnings {
                findings.fail(NAME, warning);
            }
        }
        // Managed servers forbid CONFIG.
        Err(StoreError::Unexpected(_)) => {
            findings.warn(
                NAME,
                "`CONFIG GET` is not permitted; durability was not checked",
            );
        }
        Err(error) => findings.fail(NAME, error.to_string()),
    }
}
