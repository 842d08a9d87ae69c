//! The job kinds that the API (or the CLI) enqueues for the workers, one file each, and all queues.
//! Kinds that only workers enqueue are defined beside their handlers.

pub mod callback;
pub mod cancel_order;
pub mod change_coins;
pub mod create_order;
pub mod erase_player;
pub mod events;
pub mod login;
pub mod open_group;
pub mod process_push;
pub mod read_coins;
pub mod read_secret;
pub mod reconcile;
pub mod refund;
pub mod reset_session_key;
pub mod send_message;
pub mod update_user_info;

use avalon_queue::{Failure, QueueName};

use crate::base::problem::{Problem, ProblemCode};

pub use callback::Callback;
pub use cancel_order::CancelOrder;
pub use change_coins::ChangeCoins;
pub use create_order::CreateOrder;
pub use erase_player::ErasePlayer;
pub use events::{
    SendToClickhouse, SendToCollector, SendToKafka, StoreEvents, StoreRealtimeEvents,
};
pub use login::Login;
pub use open_group::OpenGroup;
pub use process_push::ProcessPush;
pub use read_coins::ReadCoins;
pub use read_secret::ReadSecret;
pub use reconcile::Reconcile;
pub use refund::SettleRefund;
pub use reset_session_key::ResetSessionKey;
pub use send_message::SendMessage;
pub use update_user_info::UpdateUserInfo;

/// Sign-ins.
pub const LOGIN: QueueName = QueueName::new("login");
/// Orders.
pub const ORDER: QueueName = QueueName::new("order");
/// Payment callbacks, and messages that WeChat pushes.
pub const CALLBACK: QueueName = QueueName::new("callback");
/// Batches of analytics events.
pub const EVENT: QueueName = QueueName::new("event");
/// Events that must not wait behind others.
pub const EVENT_REALTIME: QueueName = QueueName::new("event-realtime");
/// Webhooks to the game server.
pub const FULFIL: QueueName = QueueName::new("fulfil");
/// Shares, invitations, leaderboards.
pub const SOCIAL: QueueName = QueueName::new("social");
/// Scheduled and administrative work.
pub const MAINTENANCE: QueueName = QueueName::new("maintenance");

/// Batches of events for ClickHouse.
pub const SINK_CLICKHOUSE: QueueName = QueueName::new("sink-clickhouse");
/// Batches of events for Kafka.
pub const SINK_KAFKA: QueueName = QueueName::new("sink-kafka");
/// Batches of events for the collector.
pub const SINK_HTTP: QueueName = QueueName::new("sink-http");

/// All queues.
pub const QUEUES: [QueueName; 11] = [
    LOGIN,
    ORDER,
    CALLBACK,
    EVENT,
    EVENT_REALTIME,
    FULFIL,
    SOCIAL,
    MAINTENANCE,
    SINK_CLICKHOUSE,
    SINK_KAFKA,
    SINK_HTTP,
];

/// The failure under which a job stores this problem.
pub fn failure(problem: &Problem) -> Failure {
    Failure {
        about: problem.order_id.clone(),
        ..Failure::new(problem.code.to_string(), problem.detail.clone())
    }
}

/// The problem that a client reads of a failed job.
pub fn problem(failure: &Failure) -> Problem {
    match failure.code.as_str() {
        "UNDECODABLE" => Problem::new(ProblemCode::JobUndecodable),
        "LEASE_EXPIRED" | "POISON" => Problem::new(ProblemCode::JobCrashed),
        code => match serde_json::from_value(code.into()) {
            Ok(code) => Problem {
                order_id: failure.about.clone(),
                ..Problem::new(code).with_detail(failure.detail.clone())
            },
            // Not a public code: the detail may be internal too.
            Err(_) => Problem::new(ProblemCode::Internal),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_survives_the_way_through_a_job() {
        for code in ProblemCode::ALL {
            let before = Problem::new(*code).with_detail("why");
            assert_eq!(problem(&failure(&before)), before);
            let about_an_order = before.with_order_id("01JZ5N4V7W8X9YABCDEFGHJKMN");
            assert_eq!(problem(&failure(&about_an_order)), about_an_order);
        }
    }

    #[test]
    fn internal_failures_are_hidden_from_clients() {
        let shown = problem(&Failure::new("RESULT_UNENCODABLE", "internal detail"));
        assert_eq!(shown, Problem::new(ProblemCode::Internal));
        assert_eq!(
            problem(&Failure::new("POISON", "x")).code,
            ProblemCode::JobCrashed
        );
    }
}
