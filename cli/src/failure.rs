//! Why the program ended: one line for stderr, and an exit code.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::dev_keys::DevKeysError;
use crate::telemetry::TelemetryError;
use avalon_config::ConfigError;
use avalon_core::storage::database::DatabaseError;
use avalon_core::storage::keyring::KeyringError;
use avalon_queue::StoreError;

/// Why the program ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Beyond what the configuration's own check can see.
    #[error("configuration: {key}: {problem}")]
    Setting { key: &'static str, problem: String },
    #[error("configuration: {key}: can't listen on {address}: {source}")]
    Listen {
        key: &'static str,
        address: SocketAddr,
        source: io::Error,
    },
    #[error(transparent)]
    DevKeys(#[from] DevKeysError),
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    #[error(transparent)]
    Database(#[from] DatabaseError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    #[error("configuration: http.{0}")]
    Tls(#[from] avalon_api::TlsError),
    #[error("the WeChat client: {0}")]
    Wechat(#[from] avalon_wechat::WechatClientError),
    #[error("the WeChat Pay client: {0}")]
    Pay(#[from] avalon_wechat::pay::PayClientError),
    #[error(transparent)]
    Payment(#[from] avalon_core::payments::PaymentError),
    #[error("events: {0}")]
    Analytics(#[from] avalon_workers::AnalyticsError),
    #[error(transparent)]
    Metrics(#[from] prometheus::Error),
    #[error("there is no database at {}", .0.display())]
    NoDatabase(PathBuf),
    #[error("there is no embedded queue at {}", .0.display())]
    NoQueue(PathBuf),
    #[error("{url}: {problem}")]
    Unhealthy { url: String, problem: String },
    #[error(transparent)]
    Copy(#[from] crate::database_copy::CopyError),
    #[error("{0}: no such job, or no dead letter")]
    NoSuchJob(avalon_queue::JobId),
    /// Told in full on standard output.
    #[error("{0} of the checks failed")]
    ChecksFailed(usize),
    #[error("{0}: there is no such player")]
    NoSuchPlayer(String),
    #[error(
        "an embedded service remembers its sessions itself: ask it by POST /admin/users/ID/signOut"
    )]
    EmbeddedSessions,
    #[error("the queue did not tell what became of the job")]
    NotEnqueued,
    #[error("job {0} failed: {1}")]
    JobFailed(avalon_queue::JobId, String),
    #[error("job {0} has not ended yet: do workers run? avalon jobs show tells")]
    StillRunning(avalon_queue::JobId),
    #[error("{0} was not compared: payments are not configured where workers run")]
    NotCompared(jiff::civil::Date),
    #[error("{0} differences")]
    Differences(usize),
    #[error(transparent)]
    Session(#[from] avalon_core::accounts::sessions::SessionError),
    #[error(transparent)]
    User(#[from] avalon_core::accounts::users::UserError),
    #[error(transparent)]
    Rotation(#[from] avalon_core::storage::rotation::RotationError),
    #[error(transparent)]
    Key(#[from] avalon_core::accounts::tokens::KeyError),
    #[error(
        "{unknown} values are sealed with keys that storage.previous_encryption_keys does not have, and \
         {damaged} are damaged"
    )]
    NotRotated { damaged: u64, unknown: u64 },
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Failure {
    /// 2 for what the operator has to mend before another start can succeed, 1 for the rest.
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Config(_) | Self::Setting { .. } | Self::Listen { .. } | Self::Tls(_) => {
                ExitCode::from(2)
            }
            _ => ExitCode::FAILURE,
        }
    }
}
