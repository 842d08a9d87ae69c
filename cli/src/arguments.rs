//! Arguments of the command line. Their doc comments are the help texts.

use std::path::PathBuf;

use crate::config::Role;
use avalon_core::base::ids::SessionId;
use avalon_core::payments::OrderStatus;
use avalon_core::platform::pushes::{Outcome, PushStatus};
use avalon_core::social::boards::{BoardName, WindowKey};
use avalon_core::storage::config::DatabaseUrl;
use avalon_queue::{JobId, QueueName};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};
use jiff::Timestamp;
use jiff::civil::Date;
use strum::VariantArray;

/// The WeChat access service of the mini-game Avalon.
#[derive(Parser)]
#[command(name = "avalon", version, propagate_version = true)]
pub(crate) struct Arguments {
    /// Configuration file (TOML), see avalon.example.toml.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Runs everything in one process on SQLite, with a WeChat simulator; stores data in ./data.
    Dev,
    /// Runs API and workers in one process.
    All,
    /// Runs the API.
    Api,
    /// Runs the workers.
    Workers(WorkersArguments),
    /// Runs the WeChat simulator.
    Simulator,
    /// Migrates the database schema.
    Migrate {
        #[command(subcommand)]
        command: Option<MigrateCommand>,
    },
    /// Inspects jobs; retries and deletes dead letters.
    Jobs {
        #[command(subcommand)]
        command: JobsCommand,
    },
    /// Inspects orders; compares a day with WeChat's bill.
    Orders {
        #[command(subcommand)]
        command: OrdersCommand,
    },
    /// Inspects the messages that WeChat pushed; has them processed again.
    Pushes {
        #[command(subcommand)]
        command: PushesCommand,
    },
    /// Shows the changes of a player's coins; decides those whose outcome is unknown.
    Coins {
        #[command(subcommand)]
        command: CoinsCommand,
    },
    /// Compares leaderboards' index with the scores, builds it again; ends windows.
    Boards {
        #[command(subcommand)]
        command: BoardsCommand,
    },
    /// Inspects and terminates players' sessions.
    Sessions {
        #[command(subcommand)]
        command: SessionsCommand,
    },
    /// Checks configuration, stores, clock, WeChat, keys and addresses; changes nothing.
    Doctor {
        /// Check the requirements of this role.
        #[arg(long, default_value = "all")]
        role: CheckedRole,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Manages the keys that encrypt data at rest.
    Keys {
        #[command(subcommand)]
        command: KeysCommand,
    },
    /// Prints the OpenAPI document of the public API.
    Openapi,
    /// Checks the configuration.
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Fails if the process on this machine is not ready; for containers.
    Healthcheck {
        /// URL to request instead of /readyz of ops.listen.
        #[arg(long)]
        url: Option<String>,
    },
}

#[derive(Subcommand)]
pub(crate) enum MigrateCommand {
    /// Copies all data into an empty database, from SQLite to Postgres or vice versa.
    Copy {
        /// Source: sqlite://PATH or postgres://USER:PASSWORD@HOST:PORT/DATABASE.
        #[arg(long, value_name = "URL")]
        from: DatabaseUrl,
        /// Target: a database without rows; its schema is migrated first.
        #[arg(long, value_name = "URL")]
        to: DatabaseUrl,
    },
}

#[derive(Args)]
pub(crate) struct WorkersArguments {
    /// Queues to serve (comma-separated); all by default.
    #[arg(long, value_delimiter = ',', value_name = "QUEUES")]
    queues: Vec<QueueName>,
    /// Maximum number of concurrent jobs per queue.
    #[arg(long, value_name = "N")]
    concurrency: Option<u32>,
}

#[derive(Subcommand)]
pub(crate) enum ConfigCommand {
    /// Checks the configuration and prints the effective one, without secrets.
    Check {
        /// Role to check for.
        #[arg(long, default_value = "all")]
        role: CheckedRole,
    },
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum CheckedRole {
    Dev,
    All,
    Api,
    Workers,
    Simulator,
    Migrate,
}

impl CheckedRole {
    pub(crate) fn role(self) -> Role {
        match self {
            Self::Dev => Role::Dev,
            Self::All => Role::All,
            Self::Api => Role::Api,
            Self::Workers => Role::Workers,
            Self::Simulator => Role::Simulator,
            Self::Migrate => Role::Migrate,
        }
    }
}

#[derive(Subcommand)]
pub(crate) enum OrdersCommand {
    /// Lists orders, newest first.
    List {
        #[command(flatten)]
        selection: OrderSelection,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Shows one order with its history and refunds.
    Show {
        /// Order id.
        id: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Has the workers compare a day of WeChat's bill with the orders, and waits for the result. Fails if
    /// there are differences.
    Reconcile {
        /// Day in Beijing time, YYYY-MM-DD.
        day: Date,
        /// Compare the day even if it was compared before.
        #[arg(long)]
        again: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

fn order_status() -> impl TypedValueParser<Value = OrderStatus> {
    PossibleValuesParser::new(OrderStatus::VARIANTS.iter().map(<&str>::from))
        .try_map(|name| name.parse())
}

/// Filter of orders.
#[derive(Args)]
pub(crate) struct OrderSelection {
    /// State of the orders.
    #[arg(long, value_parser = order_status())]
    pub(crate) status: Option<OrderStatus>,
    /// Openid of the player.
    #[arg(long)]
    pub(crate) open_id: Option<String>,
    /// Created at this time or later (ISO 8601 with offset).
    #[arg(long)]
    pub(crate) from: Option<Timestamp>,
    /// Created before this time.
    #[arg(long)]
    pub(crate) to: Option<Timestamp>,
    /// Maximum number of results.
    #[arg(long, default_value_t = 100)]
    pub(crate) limit: u32,
}

#[derive(Subcommand)]
pub(crate) enum CoinsCommand {
    /// Shows the changes of a player's coins, newest first.
    Show {
        /// WeChat's id of the player.
        open_id: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Lists players whose coins differ from WeChat's sums.
    Audit {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Accepts the difference between a player's coins and WeChat's sums, once it is explained.
    Accept {
        /// WeChat's id of the player.
        open_id: String,
        /// Why, for the audit log.
        #[arg(long)]
        reason: String,
    },
    /// Records whether WeChat has applied a change whose outcome is unknown, as its console shows.
    Settle {
        /// Number of the change (`bill_no`); of a spend the order's id.
        id: String,
        /// What WeChat did.
        outcome: SpendOutcome,
        /// Why, for the audit log.
        #[arg(long)]
        reason: String,
    },
}

/// What WeChat did with a change of coins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SpendOutcome {
    /// It has applied the change.
    Applied,
    /// It has not.
    NotApplied,
}

#[derive(Subcommand)]
pub(crate) enum PushesCommand {
    /// Lists pushes, newest first.
    List {
        /// WeChat's name of the event.
        #[arg(long)]
        event: Option<String>,
        /// State of the pushes: pending, or an outcome.
        #[arg(long, value_parser = push_status())]
        status: Option<PushStatus>,
        /// Maximum number of results.
        #[arg(long, default_value_t = 100)]
        limit: u32,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Shows one push with its message, which may contain personal data.
    Show {
        /// Push id.
        id: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Has the workers process a push again.
    Replay {
        /// Push id.
        id: String,
    },
    /// Explains a recorded push or signed call: which step of its verification fails, and which text is signed.
    Verify {
        /// The recording: an HTTP request as sent, or JSON (see docs/operations.md); `-`: standard input.
        file: PathBuf,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Subcommand)]
pub(crate) enum BoardsCommand {
    /// Compares the whole index of open windows with the scores. Fails if there are differences.
    Check {
        /// Board; all by default.
        board: Option<BoardName>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Builds the index of open windows from the scores. The service reads the scores meanwhile.
    Rebuild {
        /// Board; all by default.
        board: Option<BoardName>,
    },
    /// Ends a window now: archives the ranking and grants the prizes. Its scores are final.
    Close {
        /// Board.
        board: BoardName,
        /// Window, such as 2026-11-29 or the name of a season.
        window: WindowKey,
    },
}

fn push_status() -> impl TypedValueParser<Value = PushStatus> {
    let outcomes = Outcome::VARIANTS.iter().map(<&str>::from);
    let names = std::iter::once(PushStatus::PENDING).chain(outcomes);
    PossibleValuesParser::new(names).try_map(|name| name.parse())
}

#[derive(Subcommand)]
pub(crate) enum SessionsCommand {
    /// Lists a player's sessions, including recently terminated ones.
    List {
        /// Openid of the player.
        open_id: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Terminates a player's sessions, or one of them.
    End {
        /// Openid of the player.
        open_id: String,
        /// Terminate only this session.
        #[arg(long)]
        session: Option<SessionId>,
    },
}

#[derive(Subcommand)]
pub(crate) enum JobsCommand {
    /// Lists jobs, dead letters by default.
    List {
        /// Queue; all by default.
        #[arg(long)]
        queue: Option<QueueName>,
        /// State of the jobs.
        #[arg(long, default_value = "dead")]
        status: ListedStatus,
        /// Maximum number of results.
        #[arg(long, default_value_t = 100)]
        limit: usize,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Shows one job.
    Show {
        /// Job id.
        id: JobId,
        /// Include the payload, which may contain personal data.
        #[arg(long)]
        payload: bool,
    },
    /// Enqueues dead letters again.
    Retry(Selection),
    /// Deletes dead letters.
    Purge(Selection),
    /// Shows the number of jobs per queue and state.
    Stats {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

impl JobsCommand {
    /// Returns the queue to which the command is restricted.
    pub(crate) fn queue(&self) -> Option<&QueueName> {
        match self {
            Self::List { queue, .. } => queue.as_ref(),
            Self::Retry(selection) | Self::Purge(selection) => selection.queue.as_ref(),
            Self::Show { .. } | Self::Stats { .. } => None,
        }
    }
}

#[derive(Subcommand)]
pub(crate) enum KeysCommand {
    /// Encrypts all data of previous keys with the current key. Safe while the service runs, and can be
    /// interrupted and restarted.
    Rotate {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Shows the number of values encrypted with each key.
    Status {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Generates a key and prints it. Needs no configuration.
    Generate {
        /// Setting that the key is for.
        #[arg(default_value = "encryption")]
        purpose: KeyPurpose,
    },
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum KeyPurpose {
    /// `storage.encryption_key`.
    Encryption,
    /// `auth.signing_key`.
    Signing,
}

/// Selection of dead letters.
#[derive(Args)]
pub(crate) struct Selection {
    /// Job ids.
    #[arg(required_unless_present = "all")]
    pub(crate) ids: Vec<JobId>,
    /// Select all dead letters.
    #[arg(long, conflicts_with = "ids")]
    pub(crate) all: bool,
    /// With --all: only those of this queue.
    #[arg(long, requires = "all")]
    pub(crate) queue: Option<QueueName>,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum ListedStatus {
    Queued,
    Running,
    Retrying,
    #[value(alias = "failed")]
    Dead,
}

impl Command {
    pub(crate) fn role(&self) -> Role {
        match self {
            Self::Dev => Role::Dev,
            Self::All | Self::Openapi => Role::All,
            Self::Api => Role::Api,
            Self::Workers(_) => Role::Workers,
            Self::Simulator => Role::Simulator,
            Self::Migrate { .. } => Role::Migrate,
            Self::Jobs { .. }
            | Self::Orders { .. }
            | Self::Pushes { .. }
            | Self::Coins { .. }
            | Self::Boards { .. }
            | Self::Sessions { .. }
            | Self::Healthcheck { .. } => Role::Jobs,
            Self::Keys { .. } => Role::Keys,
            Self::Config {
                command: ConfigCommand::Check { role },
            }
            | Self::Doctor { role, .. } => role.role(),
        }
    }

    /// Returns the settings given on the command line as environment variables, so that they are validated
    /// like all others.
    pub(crate) fn overrides(&self) -> Vec<(String, String)> {
        let Self::Workers(WorkersArguments {
            queues,
            concurrency,
        }) = self
        else {
            return vec![];
        };
        let names: Vec<&str> = queues.iter().map(QueueName::as_str).collect();
        let mut overrides = Vec::new();
        if !names.is_empty() {
            overrides.push(("AVALON_WORKERS__QUEUES".to_owned(), names.join(",")));
        }
        if let Some(concurrency) = concurrency {
            overrides.push((
                "AVALON_WORKERS__CONCURRENCY".to_owned(),
                concurrency.to_string(),
            ));
        }
        overrides
    }
}
