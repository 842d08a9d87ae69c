//! Bounds in time of tokens that renew themselves and of sessions, whoever uses them.

use std::time::{Duration, Instant};

use avalon_tests::Game;
use avalon_tests::sessions::{dev_with, inventory, refresh, sign_in};
use serde_json::{Value, json};

/// Longer than any token or session of these tests may last.
const LIMIT: Duration = Duration::from_secs(15);

/// Uses a token, and whatever renews it, until the API refuses it; returns the time and the code.
async fn use_until_refused(game: &Game, session: &Value) -> (Duration, String) {
    let (started, mut current) = (Instant::now(), session.clone());
    loop {
        let response = inventory(game, &current).await;
        assert!(started.elapsed() < LIMIT, "it is still accepted");
        if response.status != 200 {
            return (started.elapsed(), response.code().to_owned());
        }
        match response.header("x-avalon-token") {
            "" => {}
            token => current = json!({"token": token}),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn stolen_token_renews_itself_for_a_fixed_time_only() {
    let env = [
        ("AVALON_AUTH__TOKEN_TTL", "4s"),
        ("AVALON_AUTH__RENEW_FOR", "4s"),
    ];
    let (_dev, game) = dev_with(&env).await;
    let session = sign_in(&game, "alice", "phone", "ios").await;
    let stolen = use_until_refused(&game, &session);
    // Whatever the honest player refreshes meanwhile.
    let honest = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        refresh(&game, &session).await
    };
    let ((time, code), refreshed) = tokio::join!(stolen, honest);
    assert_eq!(code, "TOKEN_EXPIRED");
    // It was renewed, at most four seconds after the sign-in.
    let range = Duration::from_secs(4)..Duration::from_secs(9);
    assert!(range.contains(&time), "{time:?}");
    // The session is live: a refresh token, which the thief has not, renews it.
    let renewed = refresh(&game, &refreshed.body).await;
    assert_eq!(renewed.status, 200, "{renewed:?}");
    assert_eq!(inventory(&game, &renewed.body).await.status, 200);
}

#[tokio::test]
async fn session_ends_at_its_maximum_age_despite_refreshes() {
    let env = [
        ("AVALON_AUTH__TOKEN_TTL", "2s"),
        ("AVALON_AUTH__REFRESH_TTL", "1h"),
        ("AVALON_AUTH__MAX_SESSION_AGE", "3s"),
    ];
    let (_dev, game) = dev_with(&env).await;
    let (started, mut session) = (
        Instant::now(),
        sign_in(&game, "alice", "phone", "ios").await,
    );
    let ended = loop {
        let response = refresh(&game, &session).await;
        assert!(started.elapsed() < LIMIT, "it is still refreshed");
        if response.status != 200 {
            break response;
        }
        session = response.body;
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    ended.assert_problem(401, "SESSION_EXPIRED");
    let age = started.elapsed();
    assert!(
        (Duration::from_secs(2)..Duration::from_secs(5)).contains(&age),
        "{age:?}"
    );
    // A token of that session is of no use either; a sign-in is.
    assert_eq!(inventory(&game, &session).await.status, 401);
    let again = sign_in(&game, "alice", "phone", "ios").await;
    assert_eq!(inventory(&game, &again).await.status, 200);
}
