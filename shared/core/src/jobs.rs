//! The job kinds that API and workers exchange, one file each, and the queues that carry them.

pub mod callback;
pub mod cancel_order;
pub mod check_order;
pub mod create_order;
pub mod fulfil;
pub mod login;
pub mod prune_audit;
pub mod pull_platform_stats;
pub mod reconcile;
pub mod refund;
pub mod sweep;

use avalon_queue::{Failure, QueueName};

use crate::problem::{Problem, ProblemCode};

pub use callback::Callback;
pub use cancel_order::CancelOrder;
pub use check_order::CheckOrder;
pub use create_order::CreateOrder;
pub use fulfil::Fulfil;
pub use login::Login;
pub use prune_audit::PruneAudit;
pub use pull_platform_stats::PullPlatformStats;
pub use reconcile::Reconcile;
pub use refund::SettleRefund;
pub use sweep::Sweep;

/// Sign-ins.
pub const LOGIN: QueueName = QueueName::new("login");
/// Orders.
pub const ORDER: QueueName = QueueName::new("order");
/// Payment callbacks.
pub const CALLBACK: QueueName = QueueName::new("callback");
/// Batches of analytics events.
pub const EVENT: QueueName = QueueName::new("event");
/// Events that are forwarded at once.
pub const EVENT_REALTIME: QueueName = QueueName::new("event-realtime");
/// Webhooks to the game server.
pub const FULFIL: QueueName = QueueName::new("fulfil");
/// Shares, invitations, leaderboards.
pub const SOCIAL: QueueName = QueueName::new("social");
/// What happens by the clock.
pub const MAINTENANCE: QueueName = QueueName::new("maintenance");

/// Every queue there is.
pub const QUEUES: [QueueName; 8] = [
    LOGIN,
    ORDER,
    CALLBACK,
    EVENT,
    EVENT_REALTIME,
    FULFIL,
    SOCIAL,
    MAINTENANCE,
];

/// What a job that failed with this problem keeps.
pub fn failure(problem: &Problem) -> Failure {
    Failure::new(problem.code.to_string(), problem.detail.clone())
}

/// What a client is told of a failed job.
pub fn problem(failure: &Failure) -> Problem {
    match failure.code.as_str() {
        "UNDECODABLE" => Problem::new(ProblemCode::JobUndecodable),
        "LEASE_EXPIRED" | "POISON" => Problem::new(ProblemCode::JobCrashed),
        code => match serde_json::from_value(code.into()) {
            Ok(code) => Problem::new(code).with_detail(failure.detail.clone()),
            // Not a word for clients: the detail may be internal too.
            Err(_) => Problem::new(ProblemCode::Internal),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_survives_being_kept_by_a_job() {
        for code in ProblemCode::ALL {
            let before = Problem::new(*code).with_detail("why");
            assert_eq!(problem(&failure(&before)), before);
        }
    }

    #[test]
    fn what_is_not_meant_for_clients_is_not_told() {
        let told = problem(&Failure::new("RESULT_UNENCODABLE", "internal detail"));
        assert_eq!(told, Problem::new(ProblemCode::Internal));
        assert_eq!(
            problem(&Failure::new("POISON", "x")).code,
            ProblemCode::JobCrashed
        );
    }
}
