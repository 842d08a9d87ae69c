//! Sign-in, sessions and profiles.

use avalon_tests::app::TestApp;
use reqwest::Method;
use serde_json::json;

#[tokio::test]
async fn sign_in_returns_tokens_and_rejects_an_empty_code() {
    let app = TestApp::start().await;
    let body = app.sign_in("alice").await;
    for field in ["token", "refreshToken", "signingKey"] {
        assert!(body[field].is_string(), "{field}: {body}");
    }
    let empty = app.request(Method::POST, "/api/wx/login");
    let response = app.send(empty.json(&json!({"code": ""}))).await;
    response.assert_problem(422, "FIELD_INVALID");
}

#[tokio::test]
async fn refresh_rotates_the_token_and_rejects_an_unknown_one() {
    let app = TestApp::start().await;
    let body = app.sign_in("alice").await;
    let refresh = |token: &str| {
        app.request(Method::POST, "/api/wx/refreshToken")
            .json(&json!({"refreshToken": token}))
    };
    let token = body["refreshToken"].as_str().unwrap();
    let response = app.send(refresh(token)).await;
    assert_eq!(response.status, 200, "{response:?}");
    assert_ne!(response.body["refreshToken"], token);
    let response = app.send(refresh("unknown")).await;
    assert_eq!(response.status, 401, "{response:?}");
}

#[tokio::test]
async fn logout_ends_the_session() {
    let app = TestApp::start().await;
    let body = app.sign_in("alice").await;
    let token = body["token"].as_str().unwrap();
    let logout = app.request(Method::POST, "/api/wx/logout");
    let response = app.send(logout.bearer_auth(token)).await;
    assert_eq!(response.status, 204, "{response:?}");
    let profile = app.request(Method::GET, "/api/wx/userInfo");
    let response = app.send(profile.bearer_auth(token)).await;
    assert_eq!(response.status, 401, "{response:?}");
}

#[tokio::test]
async fn profile_is_returned_and_a_wrong_signature_rejected() {
    let app = TestApp::start().await;
    let body = app.sign_in("alice").await;
    let token = body["token"].as_str().unwrap();
    let profile = app.request(Method::GET, "/api/wx/userInfo");
    let response = app.send(profile.bearer_auth(token)).await;
    assert_eq!(response.status, 200, "{response:?}");
    assert!(response.body["userInfo"]["_id"].is_string(), "{response:?}");
    let update = app
        .request(Method::POST, "/api/wx/updateUserInfo")
        .bearer_auth(token)
        .json(&json!({"rawData": "{}", "signature": "00"}));
    let response = app.send(update).await;
    assert!(response.status.is_client_error(), "{response:?}");
    let group = app
        .request(Method::POST, "/api/wx/share/group")
        .bearer_auth(token)
        .json(&json!({"encryptedData": "AA==", "iv": "AA=="}));
    let response = app.send(group).await;
    assert!(response.status.is_client_error(), "{response:?}");
}
