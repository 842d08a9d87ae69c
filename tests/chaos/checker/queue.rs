//! No dead letters but those that are declared, no process that ended by itself, every webhook delivered.

use avalon_test_support::FleetSettings;

use super::Facts;

/// Failures of jobs that a fault may end for good, because the client repeats what it wanted: kinds and codes.
const DECLARED: [(&str, &[&str]); 4] = [
    (
        "login",
        &[
            "WECHAT_BUSY",
            "WECHAT_RATE_LIMITED",
            "STORE_UNAVAILABLE",
            "SESSIONS_UNAVAILABLE",
            "LEASE_EXPIRED",
        ],
    ),
    (
        "create_order",
        &[
            "PAY_BUSY",
            "STORE_UNAVAILABLE",
            "LEASE_EXPIRED",
            "WECHAT_BUSY",
            "WECHAT_RATE_LIMITED",
        ],
    ),
    (
        "cancel_order",
        &["PAY_BUSY", "STORE_UNAVAILABLE", "LEASE_EXPIRED"],
    ),
    ("sweep", &["LEASE_EXPIRED"]),
];

impl Facts<'_> {
    pub(super) async fn queue(&self) -> Vec<String> {
        let url = format!(
            "{}/admin/jobs?status=dead&limit=100",
            self.world.processes[0].ops
        );
        let request = avalon_tests::client().get(url);
        let request = request.bearer_auth(FleetSettings::ADMIN_TOKEN);
        let dead = avalon_tests::send(request).await;
        let dead = dead.body["jobs"]
            .as_array()
            .cloned()
            .expect("a list of jobs");
        let mut found = self.world.exits.clone();
        for job in &dead {
            let text = |name: &str| job[name].as_str().unwrap_or_default();
            let code = job["error"]["code"].as_str().unwrap_or_default();
            let declared = DECLARED
                .iter()
                .any(|(kind, codes)| *kind == text("kind") && codes.contains(&code));
            if !declared {
                found.push(format!("a dead letter: {job}"));
            }
        }
        println!("{} dead letters", dead.len());
        found.extend(self.webhooks().await);
        found
    }

    /// The game server has every webhook that counts as delivered.
    async fn webhooks(&self) -> Vec<String> {
        let ids: Vec<String> = sqlx::query_scalar("SELECT id FROM fulfilments")
            .fetch_all(&self.rows)
            .await
            .unwrap();
        let lost = ids.iter().filter(|id| !self.world.game_server.has(id));
        lost.map(|id| format!("the game server has no webhook {id}"))
            .collect()
    }
}
