//! No session outlives its end, and each player exists once.

use super::Facts;

/// Requests at the same time.
const PARALLEL: usize = 8;

impl Facts<'_> {
    pub(super) async fn accounts(&self) -> Vec<String> {
        let ended = self.journal.entries().ended.clone();
        let client = avalon_tests::client();
        let url = format!("{}/api/wx/inventory", self.world.addresses.api);
        let mut found = Vec::new();
        for some in ended.chunks(PARALLEL) {
            let requests = some
                .iter()
                .map(|token| client.get(&url).bearer_auth(token).send());
            for response in futures_util::future::join_all(requests).await {
                let status = response.expect("the service answers").status().as_u16();
                if status != 401 {
                    found.push(format!("an ended session gets {status}"));
                }
            }
        }
        println!("{} ended sessions", ended.len());
        found
    }
}
