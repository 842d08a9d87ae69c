//! The command line.

use std::path::PathBuf;

use crate::config::Role;
use avalon_core::base::ids::SessionId;
use avalon_core::payments::OrderStatus;
use avalon_core::storage::config::DatabaseUrl;
use avalon_queue::{JobId, QueueName};
use clap::{Args, Parser, Subcommand, ValueEnum};
use jiff::Timestamp;
use jiff::civil::Date;

/// The WeChat access service of the mini-game Avalon.
#[derive(Parser)]
#[command(name = "avalon", version, propagate_version = true)]
pub(crate) struct Arguments {
    /// Configuration file (TOML); see avalon.example.toml.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Everything in one process on SQLite, with a WeChat simulator. Data in ./data.
    Dev,
    /// API and workers in one process.
    All,
    /// The API alone.
    Api,
    /// The workers alone.
    Workers(WorkersArguments),
    /// The WeChat simulator alone.
    Simulator,
    /// Brings the database's schema up to date.
    Migrate {
        #[command(subcommand)]
        command: Option<MigrateCommand>,
    },
    /// Looks at jobs; replays and purges dead letters.
    Jobs {
        #[command(subcommand)]
        command: JobsCommand,
    },
    /// Looks at orders; has a day compared with WeChat's bill.
    Orders {
        #[command(subcommand)]
        command: OrdersCommand,
    },
    /// Looks at players' sessions, and ends them.
    Sessions {
        #[command(subcommand)]
        command: SessionsCommand,
    },
    /// Checks configuration, stores, clock, WeChat, keys and addresses; changes nothing.
    Doctor {
        /// Check what this role needs.
        #[arg(long, default_value = "all")]
        role: CheckedRole,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Encryption keys of what is sealed at rest.
    Keys {
        #[command(subcommand)]
        command: KeysCommand,
    },
    /// Prints the OpenAPI document of the public API.
    Openapi,
    /// The configuration.
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Fails when the process on this machine is not ready; for containers.
    Healthcheck {
        /// What to ask instead of /readyz of ops.listen.
        #[arg(long)]
        url: Option<String>,
    },
}

#[derive(Subcommand)]
pub(crate) enum MigrateCommand {
    /// Copies all data into an empty database, from SQLite to Postgres or the other way.
    Copy {
        /// Where from: sqlite://PATH or postgres://USER:PASSWORD@HOST:PORT/DATABASE.
        #[arg(long, value_name = "URL")]
        from: DatabaseUrl,
        /// Where to: a database without rows; its schema is brought up to date first.
        #[arg(long, value_name = "URL")]
        to: DatabaseUrl,
    },
}

#[derive(Args)]
pub(crate) struct WorkersArguments {
    /// Work on these queues only (comma-separated); all by default.
    #[arg(long, value_delimiter = ',', value_name = "QUEUES")]
    queues: Vec<QueueName>,
    /// Jobs at once, per queue.
    #[arg(long, value_name = "N")]
    concurrency: Option<u32>,
}

#[derive(Subcommand)]
pub(crate) enum ConfigCommand {
    /// Checks it and prints what is in effect, without secrets.
    Check {
        /// Check it for this role.
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
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Shows one order with its history and refunds.
    Show {
        /// Its id.
        id: String,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Has workers compare a day of WeChat's bill with our orders, and waits for what they find. Fails
    /// when there are differences.
    Reconcile {
        /// The day at Beijing, YYYY-MM-DD.
        day: Date,
        /// Also when the day was compared before.
        #[arg(long)]
        again: bool,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
}

/// Which orders.
#[derive(Args)]
pub(crate) struct OrderSelection {
    /// In this state: pending, paid, failed, refunding, refunded or closed.
    #[arg(long)]
    pub(crate) status: Option<OrderStatus>,
    /// Of this player.
    #[arg(long)]
    pub(crate) open_id: Option<String>,
    /// Made at this time or later (ISO 8601 with its offset).
    #[arg(long)]
    pub(crate) from: Option<Timestamp>,
    /// Made before this time.
    #[arg(long)]
    pub(crate) to: Option<Timestamp>,
    /// At most so many.
    #[arg(long, default_value_t = 100)]
    pub(crate) limit: u32,
}

#[derive(Subcommand)]
pub(crate) enum SessionsCommand {
    /// Lists what is remembered of a player's sessions.
    List {
        /// WeChat's id of the player.
        open_id: String,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Ends a player's sessions: all, or one.
    End {
        /// WeChat's id of the player.
        open_id: String,
        /// This one only.
        #[arg(long)]
        session: Option<SessionId>,
    },
}

#[derive(Subcommand)]
pub(crate) enum JobsCommand {
    /// Lists jobs, dead letters by default.
    List {
        /// In this queue; all by default.
        #[arg(long)]
        queue: Option<QueueName>,
        /// In this state.
        #[arg(long, default_value = "dead")]
        status: ListedStatus,
        /// At most so many.
        #[arg(long, default_value_t = 100)]
        limit: usize,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Shows one job.
    Show {
        /// Its id.
        id: JobId,
        /// Its payload too, which may hold what only its player should know.
        #[arg(long)]
        payload: bool,
    },
    /// Makes dead letters ready again.
    Retry(Selection),
    /// Deletes dead letters.
    Purge(Selection),
    /// How full the queues are.
    Stats {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
}

impl JobsCommand {
    /// The queue that it is restricted to.
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
    /// Seals everything again that a previous key has sealed. Beside the running service; can be
    /// broken off and begun again.
    Rotate {
        /// What was done, as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Which keys have sealed how much.
    Status {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Makes a new key and prints it. Needs no configuration.
    Generate {
        /// What for.
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

/// Which dead letters.
#[derive(Args)]
pub(crate) struct Selection {
    /// These.
    #[arg(required_unless_present = "all")]
    pub(crate) ids: Vec<JobId>,
    /// All of them.
    #[arg(long, conflicts_with = "ids")]
    pub(crate) all: bool,
    /// With --all: those of this queue.
    #[arg(long, requires = "all")]
    pub(crate) queue: Option<QueueName>,
    /// Tell it as JSON.
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
            | Self::Sessions { .. }
            | Self::Healthcheck { .. } => Role::Jobs,
            Self::Keys { .. } => Role::Keys,
            Self::Config {
                command: ConfigCommand::Check { role },
            }
            | Self::Doctor { role, .. } => role.role(),
        }
    }

    /// What the command line says of the configuration, as environment variables, so that it is
    /// checked like all else.
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
