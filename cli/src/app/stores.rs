//! Where things are stored: queue, sessions, keys. In Redis if that is configured, else embedded.

use std::sync::Arc;
use std::time::Duration;

use avalon_core::accounts::sessions::{self, Sessions};
use avalon_core::accounts::tokens::{TokenIssuer, TokenVerifier};
use avalon_core::jobs::QUEUES;
use avalon_core::social::boards::{BoardIndex, BoardMetrics, Boards, MemoryIndex, RedisIndex};
use avalon_core::storage::claim::{ClaimError, FileClaim, Sharing};
use avalon_core::storage::database::{Database, create_private_folder};
use avalon_core::storage::documents::{RedisDocuments, SqlDocuments};
use avalon_core::storage::keyring::Keyring;
use avalon_queue::{JobStore, RedisEndpoint, RedisSettings, RedisStreams, Sqlite};
use jiff::Timestamp;
use secrecy::ExposeSecret;

use super::AppError;
use crate::config::Config;
use crate::failure::Failure;

/// Interval at which the embedded engine removes what has expired.
pub(super) const CLEAN_UP_EVERY: Duration = Duration::from_secs(60);

/// Redis, if it is configured: one shared connection for all parts of the process.
pub(crate) fn redis(config: &Config) -> Result<Option<RedisEndpoint>, AppError> {
    let nodes = config.redis.url.as_ref();
    let authority = config
        .redis
        .tls_ca
        .as_ref()
        .map(ExposeSecret::expose_secret);
    Ok(nodes
        .map(|nodes| RedisEndpoint::with_authority(&nodes.joined(), authority))
        .transpose()?)
}

/// The queue: in Redis if that is configured, else the embedded one.
pub(crate) async fn store(
    config: &Config,
    redis: Option<&RedisEndpoint>,
) -> Result<Arc<dyn JobStore>, AppError> {
    if let Some(endpoint) = redis {
        let settings = RedisSettings {
            prefix: config.redis.key_prefix.clone(),
            queues: QUEUES.to_vec(),
            shards: 1,
        };
        let redis = RedisStreams::new(endpoint.clone(), settings);
        let checked = redis.clone();
        tokio::spawn(async move {
            // A Redis that is down now is checked once it is up.
            while let Err(error) = warn_of_lossy_redis(&checked).await {
                tracing::debug!(%error, "durability of Redis not checked yet");
                tokio::time::sleep(Duration::from_secs(5)).await;
            }
        });
        return Ok(Arc::new(redis));
    }
    let path = config.queue_path();
    if let Some(folder) = path.parent() {
        create_private_folder(folder)?;
    }
    Ok(Arc::new(Sqlite::open(&path, QUEUES.to_vec()).await?))
}

/// Claims the SQLite files that this process serves, until the result is dropped.
pub(crate) fn claim_files(config: &Config) -> Result<Vec<FileClaim>, ClaimError> {
    let mut files: Vec<_> = config.database.url.sqlite_path().into_iter().collect();
    let sharing = match config.redis.url {
        Some(_) => Sharing::Shared,
        None => {
            files.push(config.queue_path());
            Sharing::Exclusive
        }
    };
    files
        .iter()
        .map(|file| FileClaim::of(file, sharing))
        .collect()
}

/// The queue for inspection: an embedded one is not created.
pub(crate) async fn existing_store(
    config: &Config,
    redis: Option<&RedisEndpoint>,
) -> Result<Arc<dyn JobStore>, Failure> {
    let path = config.queue_path();
    if redis.is_none() && !path.exists() {
        return Err(Failure::NoQueue(path));
    }
    Ok(store(config, redis).await?)
}

async fn warn_of_lossy_redis(redis: &RedisStreams) -> Result<(), avalon_queue::StoreError> {
    match redis.durability_warnings().await {
        Ok(warnings) => {
            for warning in warnings {
                tracing::warn!("{warning}");
            }
            Ok(())
        }
        // Managed servers forbid CONFIG.
        Err(avalon_queue::StoreError::Unexpected(error)) => {
            tracing::info!(
                error,
                "`CONFIG GET` is not permitted; durability was not checked"
            );
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// Verifies players' tokens.
pub(crate) fn verifier(config: &Config) -> Result<TokenVerifier, AppError> {
    let auth = &config.auth;
    let key = auth
        .signing_key
        .as_ref()
        .ok_or_else(|| AppError::missing("auth.signing_key"))?;
    let keys = (key.verifying_key(), &auth.previous_signing_keys);
    Ok(TokenVerifier::new(keys.0, keys.1, &auth.issuer).for_audience(auth.audience()))
}

/// Signs players' tokens.
pub(crate) fn issuer(config: &Config) -> Result<TokenIssuer, AppError> {
    let auth = &config.auth;
    let key = auth
        .signing_key
        .as_ref()
        .ok_or_else(|| AppError::missing("auth.signing_key"))?;
    let issuer = TokenIssuer::new(key, &auth.issuer, auth.token_ttl);
    Ok(issuer
        .for_audience(auth.audience())
        .renewing_for(auth.renew_for))
}

/// Encrypts secrets at rest.
pub(crate) fn keyring(config: &Config) -> Result<Keyring, AppError> {
    let storage = &config.storage;
    let key = storage
        .encryption_key
        .as_ref()
        .ok_or_else(|| AppError::missing("storage.encryption_key"))?;
    Ok(Keyring::new(key, &storage.previous_encryption_keys)?)
}

/// Players' sessions: in Redis if that is configured, else in the database of the one process.
pub(crate) fn sessions(
    config: &Config,
    keyring: &Arc<Keyring>,
    redis: Option<&RedisEndpoint>,
    database: &Database,
) -> Sessions {
    let (keyring, rules) = (Arc::clone(keyring), config.auth.session_rules());
    let sessions = match redis {
        Some(endpoint) => {
            let (prefix, timeout) = (&config.redis.key_prefix, sessions::REDIS_TIMEOUT);
            let documents = RedisDocuments::new(endpoint.clone(), prefix, timeout);
            Sessions::in_redis(documents, keyring, rules)
        }
        None => {
            let documents = SqlDocuments::new(database.clone());
            tokio::spawn(delete_expired(documents.clone()));
            Sessions::new(Arc::new(documents), keyring, rules)
        }
    };
    tokio::spawn(begin_nonces(sessions.clone()));
    sessions
}

/// Leaderboards, with their index in Redis if that is configured, else in the one process.
pub(crate) fn boards(
    config: &Config,
    redis: Option<&RedisEndpoint>,
    database: &Database,
    metrics: BoardMetrics,
) -> Boards {
    Boards::spawn(
        database,
        board_index(config, redis),
        &config.social,
        metrics,
    )
}

/// The index of leaderboards.
pub(crate) fn board_index(config: &Config, redis: Option<&RedisEndpoint>) -> Arc<dyn BoardIndex> {
    match redis {
        Some(endpoint) => {
            let prefix = &config.redis.key_prefix;
            Arc::new(RedisIndex::new(endpoint.clone(), prefix))
        }
        None => Arc::new(MemoryIndex::default()),
    }
}

/// Writes the markers of nonces as soon as their store is available.
async fn begin_nonces(sessions: Sessions) {
    while let Err(error) = sessions.begin_nonces(Timestamp::now()).await {
        tracing::debug!(%error, "markers of nonces could not be written, will retry");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Runs until the process ends.
async fn delete_expired(documents: SqlDocuments) {
    let mut ticks = tokio::time::interval(CLEAN_UP_EVERY);
    loop {
        ticks.tick().await;
        if let Err(error) = documents.delete_expired(Timestamp::now()).await {
            tracing::debug!(%error, "expired sessions are not removed yet");
        }
    }
}
