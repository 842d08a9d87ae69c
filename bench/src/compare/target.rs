//! What is compared.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use strum::{AsRefStr, Display};

/// A target of the comparison.
#[derive(
    AsRefStr,
    Clone,
    Copy,
    Debug,
    Deserialize,
    Display,
    Eq,
    Ord,
    PartialEq,
    PartialOrd,
    Serialize,
    ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub(crate) enum Target {
    /// This service: one `avalon api` and one `avalon workers`.
    Avalon,
    /// NestJS with Fastify, BullMQ, ioredis and pg: one API and one worker process.
    Nestjs,
    /// The same Redis and Postgres work, batched and pipelined, and nothing else.
    Floor,
    /// apalis-redis 1.0.0: the bare queue only.
    ApalisRedis,
}

impl Target {
    /// All of them, in the order of the tables.
    pub(crate) const ALL: [Self; 4] = [Self::Avalon, Self::Nestjs, Self::Floor, Self::ApalisRedis];

    /// Its name in tables and charts.
    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Avalon => "avalon",
            Self::Nestjs => "NestJS peer",
            Self::Floor => "floor",
            Self::ApalisRedis => "apalis-redis",
        }
    }
}
