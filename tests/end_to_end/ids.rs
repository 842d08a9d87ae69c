//! Ids are printed in tokens and logs and grant nothing.

use avalon_tests::send;
use avalon_tests::sessions::dev;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

#[tokio::test]
async fn ids_and_used_codes_do_not_open_a_sign_in() {
    let (_dev, game) = dev().await;
    let code = game.mint_code("alice").await;
    let post = |device: Option<&str>, prefer: &str| {
        let request = game.client.post(game.url("/api/wx/login"));
        let body = json!({"code": code, "deviceId": device});
        send(request.header("prefer", prefer).json(&body))
    };
    let accepted = post(Some("phone"), "respond-async").await;
    assert_eq!(accepted.status, 202, "{accepted:?}");
    let address = accepted.header("location").to_owned();
    let signed_in = game.job(&address).await["result"].clone();
    let claims = signed_in["token"].as_str().unwrap().split('.').nth(1);
    let claims = URL_SAFE_NO_PAD.decode(claims.unwrap()).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();

    // Neither the session's id nor the job's, which are in tokens and logs, nor a player's token.
    let (job, key) = (accepted.body["jobId"].as_str().unwrap(), address.len() - 43);
    let wrong = address.replace(&address[key..], &"A".repeat(43));
    for path in [
        format!("/api/jobs/{}", claims["sid"].as_str().unwrap()),
        format!(
            "/api/jobs/{}{}",
            claims["sid"].as_str().unwrap(),
            &address[key - 5..]
        ),
        format!("/api/jobs/{job}"),
        format!("/api/jobs/{job}?wait=1"),
        format!("/api/jobs/{job}/events"),
        format!("/api/jobs/{job}/events?key="),
        wrong,
    ] {
        game.get(&path).await.assert_problem(404, "JOB_NOT_FOUND");
    }
    let alice = game.player("alice-2").await;
    let response = alice.get(&format!("/api/jobs/{job}")).await;
    response.assert_problem(404, "JOB_NOT_FOUND");

    // A used code answers only the device that used it.
    assert_eq!(post(Some("phone"), "").await.body, signed_in);
    for device in [Some("thief"), None] {
        post(device, "").await.assert_problem(401, "SIGN_IN_AGAIN");
    }
    // Each repeat of the same request gets the address that reads the job.
    let repeated = post(Some("phone"), "respond-async").await;
    assert!(
        matches!(repeated.status.as_u16(), 200 | 202),
        "{repeated:?}"
    );
}
