//! The scenarios and the figures that each yields.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use strum::{AsRefStr, Display};

use super::target::Target;

/// A kind of load.
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
pub(crate) enum Scenario {
    /// Sign-ins, 64 at once.
    SignIn,
    /// Sign-ins at a fixed rate, on schedule.
    SignInRate,
    /// Payment callbacks while workers process them.
    Callbacks,
    /// Payment callbacks while workers are stopped; then the workers, alone.
    CallbacksBacklog,
    /// Deliveries of virtual payment in secure mode, while workers process them.
    Deliveries,
    /// The same in plain mode.
    DeliveriesPlain,
    /// Reports of 50 events while workers store them.
    Events,
    /// Reports while workers are stopped; then the workers, alone.
    EventsBacklog,
    /// Orders of one product, 64 at once.
    CreateOrder,
    /// Reads of orders, 64 at once.
    GetOrder,
    /// The bare queue: no HTTP, a handler that returns a small result.
    Queue,
}

/// Whether more is better.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Better {
    More,
    Less,
}

/// A figure of a scenario: its key in the results, its row in the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figure {
    pub(crate) key: &'static str,
    pub(crate) title: &'static str,
    pub(crate) better: Better,
}

const fn more(key: &'static str, title: &'static str) -> Figure {
    Figure {
        key,
        title,
        better: Better::More,
    }
}

const fn less(key: &'static str, title: &'static str) -> Figure {
    Figure {
        key,
        title,
        better: Better::Less,
    }
}

impl Scenario {
    /// All of them, in the order of the tables.
    pub(crate) const ALL: [Self; 11] = [
        Self::SignIn,
        Self::SignInRate,
        Self::Callbacks,
        Self::CallbacksBacklog,
        Self::Deliveries,
        Self::DeliveriesPlain,
        Self::Events,
        Self::EventsBacklog,
        Self::CreateOrder,
        Self::GetOrder,
        Self::Queue,
    ];

    /// Its figures.
    pub(crate) const fn figures(self) -> &'static [Figure] {
        const SIGN_IN: &[Figure] = &[
            more("perSecond", "sign-ins/s, 64 at once"),
            less("p50Ms", "sign-in, 64 at once, p50 ms"),
            less("p99Ms", "sign-in, 64 at once, p99 ms"),
        ];
        const SIGN_IN_RATE: &[Figure] = &[
            less("p50Ms", "sign-in at 50/s, p50 ms"),
            less("p99Ms", "sign-in at 50/s, p99 ms"),
            less("p999Ms", "sign-in at 50/s, p99.9 ms"),
        ];
        const CALLBACKS: &[Figure] = &[
            more("acceptedPerSecond", "callbacks acknowledged/s, workers on"),
            less("p99Ms", "callback, 64 at once, workers on, p99 ms"),
            more("processedPerSecond", "callbacks processed/s, live"),
        ];
        const CALLBACKS_BACKLOG: &[Figure] = &[
            more("acceptedPerSecond", "callbacks acknowledged/s, workers off"),
            more(
                "processedPerSecond",
                "callbacks processed/s, from a backlog",
            ),
        ];
        const DELIVERIES: &[Figure] = &[
            more("acceptedPerSecond", "deliveries acknowledged/s, secure"),
            less("p99Ms", "delivery, 64 at once, secure, p99 ms"),
            more("processedPerSecond", "deliveries processed/s, secure"),
        ];
        const DELIVERIES_PLAIN: &[Figure] = &[
            more("acceptedPerSecond", "deliveries acknowledged/s, plain"),
            less("p99Ms", "delivery, 64 at once, plain, p99 ms"),
            more("processedPerSecond", "deliveries processed/s, plain"),
        ];
        const EVENTS: &[Figure] = &[
            more("acceptedPerSecond", "events accepted/s, workers on"),
            less("p99Ms", "report, 64 at once, workers on, p99 ms"),
            more("processedPerSecond", "events stored/s, live"),
        ];
        const EVENTS_BACKLOG: &[Figure] = &[
            more("acceptedPerSecond", "events accepted/s, workers off"),
            more("processedPerSecond", "events stored/s, from a backlog"),
        ];
        const CREATE_ORDER: &[Figure] = &[
            more("perSecond", "createOrder/s of one product, 64 at once"),
            less("p99Ms", "createOrder, 64 at once, p99 ms"),
        ];
        const GET_ORDER: &[Figure] = &[
            more("perSecond", "getOrder/s, 64 at once"),
            less("p99Ms", "getOrder, 64 at once, p99 ms"),
        ];
        const QUEUE: &[Figure] = &[
            more("pushedPerSecond", "bare queue, pushed/s"),
            more(
                "drainedPerSecond",
                "bare queue, drained and settled with result/s",
            ),
            less("p50Ms", "bare queue, wait at 200/s, p50 ms"),
            less("p99Ms", "bare queue, wait at 200/s, p99 ms"),
        ];
        match self {
            Self::SignIn => SIGN_IN,
            Self::SignInRate => SIGN_IN_RATE,
            Self::Callbacks => CALLBACKS,
            Self::CallbacksBacklog => CALLBACKS_BACKLOG,
            Self::Deliveries => DELIVERIES,
            Self::DeliveriesPlain => DELIVERIES_PLAIN,
            Self::Events => EVENTS,
            Self::EventsBacklog => EVENTS_BACKLOG,
            Self::CreateOrder => CREATE_ORDER,
            Self::GetOrder => GET_ORDER,
            Self::Queue => QUEUE,
        }
    }

    /// What its CPU time is divided by: its name, and the number of operations in one.
    pub(crate) const fn unit(self) -> (&'static str, f64) {
        match self {
            Self::SignIn => ("sign-in, 64 at once", 1.0),
            Self::SignInRate => ("sign-in at 50/s", 1.0),
            Self::Callbacks => ("callback, live", 1.0),
            Self::CallbacksBacklog => ("callback, backlog", 1.0),
            Self::Deliveries => ("delivery, secure", 1.0),
            Self::DeliveriesPlain => ("delivery, plain", 1.0),
            Self::Events => ("1,000 events, live", 1000.0),
            Self::EventsBacklog => ("1,000 events, backlog", 1000.0),
            Self::CreateOrder => ("createOrder", 1.0),
            Self::GetOrder => ("getOrder", 1.0),
            Self::Queue => ("1,000 jobs", 1000.0),
        }
    }

    /// Whether it needs the message push, which no other target has.
    const fn is_pushed(self) -> bool {
        matches!(self, Self::Deliveries | Self::DeliveriesPlain)
    }

    /// Whether it applies to a target.
    pub(crate) const fn applies_to(self, target: Target) -> bool {
        match target {
            Target::Avalon => true,
            Target::Nestjs => !self.is_pushed(),
            // A rate says nothing of work without waiting.
            Target::Floor => !matches!(self, Self::SignInRate) && !self.is_pushed(),
            Target::ApalisRedis => matches!(self, Self::Queue),
        }
    }
}
