//! Errors that end the program: one line on standard error, and an exit code.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::app::AppError;
use crate::dev_keys::DevKeysError;
use crate::telemetry::TelemetryError;
use avalon_config::ConfigError;
use avalon_core::storage::database::DatabaseError;
use avalon_core::storage::keyring::KeyringError;
use avalon_queue::StoreError;

/// Error that ends the program.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    App(#[from] AppError),
    /// Only detected when the setting is used.
    #[error("configuration: {key}: {problem}")]
    Setting { key: &'static str, problem: String },
    #[error("configuration: {key}: cannot listen on {address}: {source}")]
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
    Claim(#[from] avalon_core::storage::claim::ClaimError),
    #[error(transparent)]
    Database(#[from] DatabaseError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    #[error("configuration: http.{0}")]
    Tls(#[from] avalon_api::TlsError),
    #[error(transparent)]
    Payment(#[from] avalon_core::payments::PaymentError),
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
    #[error("job {0} does not exist or is not a dead letter")]
    NoSuchJob(avalon_queue::JobId),
    /// Standard output has the details.
    #[error("{0} checks failed")]
    ChecksFailed(usize),
    #[error("push {0} does not exist")]
    NoSuchPush(String),
    #[error("there is no change of coins {0} whose outcome is unknown")]
    NotUnsettled(String),
    #[error("the coins of {0} do not differ from WeChat's sums")]
    NoDifference(String),
    #[error("{0}")]
    Recording(String),
    #[error("player {0} does not exist")]
    NoSuchPlayer(String),
    #[error(
        "the running service holds the sessions of the embedded engine: use POST /admin/users/ID/signOut"
    )]
    EmbeddedSessions,
    #[error(
        "the index of the embedded engine is inside the running service, which builds it at each start"
    )]
    EmbeddedIndex,
    #[error(transparent)]
    Board(#[from] avalon_core::social::boards::BoardError),
    #[error("the queue did not confirm the job")]
    NotEnqueued,
    #[error("job {0} failed: {1}")]
    JobFailed(avalon_queue::JobId, String),
    #[error(
        "job {0} has not finished yet; check that workers are running, and avalon jobs show {0}"
    )]
    StillRunning(avalon_queue::JobId),
    #[error("{0} was not compared: payments are not configured for the workers")]
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
        "{unknown} values are encrypted with keys that are not in storage.previous_encryption_keys, and \
         {damaged} are damaged"
    )]
    NotRotated { damaged: u64, unknown: u64 },
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Failure {
    /// Returns 2 if the configuration must be fixed before another start can succeed, otherwise 1.
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Config(_)
            | Self::App(AppError::Setting { .. })
            | Self::Setting { .. }
            | Self::Listen { .. }
            | Self::Claim(_)
            | Self::Tls(_) => ExitCode::from(2),
            _ => ExitCode::FAILURE,
        }
    }
}
