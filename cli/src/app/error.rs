//! Why the parts of a process could not be built.

use avalon_core::storage::database::DatabaseError;
use avalon_core::storage::keyring::KeyringError;
use avalon_queue::StoreError;

/// Why the parts of a process could not be built.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// A setting that the configuration's own check cannot judge.
    #[error("configuration: {key}: {problem}")]
    Setting {
        /// The key, dotted.
        key: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// The database.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The queue.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Encryption at rest.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    /// The client of WeChat's platform.
    #[error("WeChat client: {0}")]
    Wechat(#[from] avalon_wechat::WechatClientError),
    /// The client of WeChat Pay.
    #[error("WeChat Pay client: {0}")]
    Pay(#[from] avalon_wechat::pay::PayClientError),
    /// The handlers of events.
    #[error("events: {0}")]
    Analytics(#[from] avalon_workers::AnalyticsError),
    /// A metric was registered twice.
    #[error(transparent)]
    Metrics(#[from] prometheus::Error),
    /// The folder of the embedded queue.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

impl AppError {
    /// A setting that the configuration's check requires of other roles only.
    pub(crate) fn missing(key: &'static str) -> Self {
        Self::Setting {
            key,
            problem: "required".to_owned(),
        }
    }
}
