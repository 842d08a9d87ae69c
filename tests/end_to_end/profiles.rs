//! Players' profiles and groups: data from WeChat's client are decrypted, checked and stored; data that
//! fail are rejected, each kind with its own code.

use avalon_test_support::{Avalon, FleetSettings, TestDatabase, shared_redis_url, unique_prefix};
use avalon_tests::{Client, Game, send};
use serde_json::{Value, json};

async fn dev() -> (Avalon, Game) {
    dev_with(&[]).await
}

async fn dev_with(env: &[(&str, &str)]) -> (Avalon, Game) {
    let command = env
        .iter()
        .fold(Avalon::command("dev"), |command, (name, value)| {
            command.env(*name, *value)
        });
    let dev = command.start().await;
    let game = Game::of(&dev, &dev);
    (dev, game)
}

fn named(name: &str) -> Value {
    json!({"data": {"nickName": name, "gender": 0, "avatarUrl": "http://wx.qlogo.cn/a/132"}})
}

#[tokio::test]
async fn encrypted_profile_is_stored_and_shown_everywhere() {
    let (_dev, game) = dev().await;
    let alice = Client::sign_in(&game, "alice").await;
    assert!(alice.user_info().await.get("nickname").is_none());
    let spec = json!({"data": {
        "openId": alice.open_id, "unionId": "oUnion", "nickName": " 阿丽 ", "gender": 2,
        "language": "zh_CN", "city": "", "province": "Guangdong", "country": "CN",
        "avatarUrl": "http://wx.qlogo.cn/mmopen/a/0",
    }});
    let response = alice.update(&alice.encrypted(spec).await).await;
    assert_eq!(response.status, 200, "{response:?}");
    assert_eq!(response.body["success"], true);
    assert_eq!(response.header("cache-control"), "no-store");
    let user = &response.body["userInfo"];
    assert_eq!(user["nickname"], "阿丽");
    assert_eq!(user["avatarUrl"], "https://wx.qlogo.cn/mmopen/a/0");
    assert_eq!(
        (&user["gender"], &user["province"]),
        (&json!(2), &json!("Guangdong"))
    );
    assert!(user.get("city").is_none(), "empty fields are omitted");
    assert_eq!(user["unionId"], "oUnion");
    assert_eq!(alice.user_info().await, *user);
    // WeChat's placeholder for an anonymous user changes nothing.
    let placeholder = json!({"data": {"nickName": "微信用户", "gender": 0, "city": "", "avatarUrl":
        "https://thirdwx.qlogo.cn/mmopen/vi_32/POgEwh4mIHO4nibH0KlMECNjjGxQUq24ZEaGT4poC6icRiccVGKSyXwibcPq4BWmiaIGuG1icwxaQX6grC9VemZoJ8rg/132"}});
    let anonymous = alice.update(&alice.encrypted(placeholder).await).await;
    assert_eq!(anonymous.body["userInfo"]["nickname"], "阿丽");
    assert_eq!(anonymous.body["userInfo"]["gender"], 2);
    let again = game.login(&game.mint_code("alice").await).await.body;
    assert_eq!(again["userInfo"]["nickname"], "阿丽");
}

#[tokio::test]
async fn raw_data_never_replaces_encrypted_data_or_sets_a_unionid() {
    let (_dev, game) = dev().await;
    let bob = Client::sign_in(&game, "bob").await;
    let raw = bob.raw(named("raw Bob")).await;
    let response = bob.update(&raw).await;
    assert_eq!(response.status, 200, "{response:?}");
    assert_eq!(response.body["userInfo"]["nickname"], "raw Bob");
    let sure = bob.encrypted(named("sure Bob")).await;
    assert_eq!(
        bob.update(&sure).await.body["userInfo"]["nickname"],
        "sure Bob"
    );
    let replayed = bob.update(&raw).await;
    assert_eq!(replayed.status, 200, "{replayed:?}");
    assert_eq!(replayed.body["userInfo"]["nickname"], "sure Bob");
    // Validly signed by the player's key, but WeChat never signs a unionid there: it is ignored.
    let key = game
        .ask_simulator(&format!("players/{}", bob.open_id))
        .await;
    let text = r#"{"nickName":"x","unionId":"oForged"}"#;
    let signed = format!("{text}{}", key["sessionKey"].as_str().unwrap());
    let sha1 = aws_lc_rs::digest::digest(
        &aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY,
        signed.as_bytes(),
    );
    let sha1: String = sha1
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let forged = bob
        .update(&json!({"rawData": text, "signature": sha1}))
        .await;
    assert_eq!(forged.status, 200, "{forged:?}");
    assert!(forged.body["userInfo"].get("unionId").is_none());
}

#[tokio::test]
async fn each_profile_error_has_its_own_code() {
    let (dev, game) = dev().await;
    let carol = Client::sign_in(&game, "carol").await;
    let mallory = Client::sign_in(&game, "mallory").await;
    let good = carol.encrypted(named("Carol")).await;
    let raw = carol.raw(named("Carol")).await;

    // Malformed requests.
    let url = game.url("/api/wx/updateUserInfo");
    let post = || game.client.post(&url).bearer_auth(&carol.token);
    send(post()).await.assert_problem(400, "BODY_MISSING");
    let text = post().header("content-type", "application/json").body("{");
    send(text).await.assert_problem(400, "BODY_NOT_JSON");
    carol
        .update(&json!({}))
        .await
        .assert_problem(422, "FIELD_MISSING");
    let half = json!({"encryptedData": good["encryptedData"]});
    carol
        .update(&half)
        .await
        .assert_problem(422, "FIELD_MISSING");
    let mut both = good.clone();
    both["rawData"] = raw["rawData"].clone();
    both["signature"] = raw["signature"].clone();
    carol
        .update(&both)
        .await
        .assert_problem(422, "FIELD_INVALID");
    let not_base64 = json!({"encryptedData": "not base64", "iv": good["iv"]});
    carol
        .update(&not_base64)
        .await
        .assert_problem(422, "FIELD_INVALID");
    let anonymous = game.client.post(&url).json(&good);
    send(anonymous).await.assert_problem(401, "UNAUTHENTICATED");

    // All data that the key does not open give the same response, wording included.
    let another_iv = json!({"encryptedData": good["encryptedData"], "iv": raw_iv()});
    let noise = json!({"encryptedData": "AAAAAAAAAAAAAAAAAAAAAA==", "iv": raw_iv()});
    let mut details = Vec::new();
    for (who, body) in [
        (&mallory, &good),
        (&mallory, &raw),
        (&carol, &another_iv),
        (&carol, &noise),
    ] {
        let response = who.update(body).await;
        response.assert_problem(401, "SIGN_IN_AGAIN");
        details.push(response.body["detail"].clone());
    }
    assert!(
        details.iter().all(|detail| detail == &details[0]),
        "{details:?}"
    );
    let forged = json!({"rawData": raw["rawData"], "signature": "0".repeat(40)});
    carol
        .update(&forged)
        .await
        .assert_problem(401, "SIGN_IN_AGAIN");

    // Decrypted, but rejected for their content.
    let refused = async |spec: Value| carol.update(&carol.encrypted(spec).await).await;
    let now = game.ask_simulator("state").await["now"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(!now.is_empty());
    refused(json!({"watermark": {"appid": "wx1111111111111111"}}))
        .await
        .assert_problem(422, "WATERMARK_REFUSED");
    refused(json!({"watermark": {"timestamp": 1_477_314_187}}))
        .await
        .assert_problem(422, "WATERMARK_REFUSED");
    refused(json!({"watermark": null}))
        .await
        .assert_problem(422, "WATERMARK_REFUSED");
    refused(json!({"data": {"openId": mallory.open_id, "nickName": "Carol"}}))
        .await
        .assert_problem(403, "FORBIDDEN");
    let of_another_kind = refused(json!({"data": {"nickName": 5}})).await;
    assert_eq!(of_another_kind.status, 200, "{of_another_kind:?}");
    assert_eq!(of_another_kind.body["leftOut"], json!(["nickName"]));

    // Invalid fields are left out, and the rest is stored.
    for (field, value) in [
        ("nickName", json!("evil\u{202e}gpj")),
        ("nickName", json!("x".repeat(65))),
        ("avatarUrl", json!("javascript:alert(1)")),
        ("avatarUrl", json!("https://u:p@wx.qlogo.cn/a")),
        ("gender", json!(3)),
        ("city", json!("a\nb")),
        ("language", json!("zh CN")),
    ] {
        let country = format!("country-{field}");
        let response = refused(json!({"data": {field: value, "country": country}})).await;
        assert_eq!(response.status, 200, "{response:?}");
        assert_eq!(response.body["leftOut"], json!([field]));
        assert_eq!(response.body["userInfo"]["country"], country);
    }
    assert!(
        carol.user_info().await.get("nickname").is_none(),
        "none of them was stored"
    );

    let counted = game
        .client
        .get(format!("{}/metrics", dev.ops))
        .send()
        .await
        .unwrap();
    let counted = counted.text().await.unwrap();
    for series in [
        "avalon_client_data_total{kind=\"profile\",outcome=\"other_app\"} 1",
        "avalon_client_data_total{kind=\"profile\",outcome=\"stale\"} 1",
        "avalon_client_data_total{kind=\"profile\",outcome=\"no_watermark\"} 1",
        "avalon_client_data_total{kind=\"profile\",outcome=\"other_player\"} 1",
        "avalon_client_data_total{kind=\"profile\",outcome=\"key_does_not_fit\"} 3",
        "avalon_client_data_total{kind=\"raw_profile\",outcome=\"key_does_not_fit\"} 2",
        "avalon_client_data_total{kind=\"profile\",outcome=\"field_invalid\"} 8",
    ] {
        assert!(
            counted.lines().any(|line| line == series),
            "{series} is not in\n{counted}"
        );
    }
    for secret in ["Carol", "evil"] {
        assert!(!dev.log().contains(secret), "personal data are in the log");
    }
}

/// An IV that was not used for any encryption.
fn raw_iv() -> &'static str {
    "AQEBAQEBAQEBAQEBAQEBAQ=="
}

#[tokio::test]
async fn previous_session_key_works_within_the_grace_period() {
    let (_dev, game) = dev().await;
    game.set("settings", json!({"sessionKeyRotation": "always"}))
        .await;
    let dora = Client::sign_in(&game, "dora").await;
    let in_flight = dora.encrypted(named("Dora")).await;
    let raw_in_flight = dora.raw(named("raw Dora")).await;
    // A sign-in, perhaps on another device, replaces the key.
    let dora = Client::sign_in(&game, "dora").await;
    let response = dora.update(&in_flight).await;
    assert_eq!(response.status, 200, "{response:?}");
    assert_eq!(response.body["userInfo"]["nickname"], "Dora");
    assert_eq!(dora.update(&raw_in_flight).await.status, 200);
    let fresh = dora.encrypted(named("Dora 2")).await;
    assert_eq!(
        dora.update(&fresh).await.body["userInfo"]["nickname"],
        "Dora 2"
    );
    // One more sign-in, and the first key is two behind.
    let dora = Client::sign_in(&game, "dora").await;
    dora.update(&in_flight)
        .await
        .assert_problem(401, "SIGN_IN_AGAIN");
}

#[tokio::test]
async fn previous_session_key_is_rejected_after_the_grace_period() {
    let (_dev, game) = dev_with(&[("AVALON_PROFILE__SESSION_KEY_GRACE", "0s")]).await;
    game.set("settings", json!({"sessionKeyRotation": "always"}))
        .await;
    let erin = Client::sign_in(&game, "erin").await;
    let (late, raw) = (
        erin.encrypted(named("Erin")).await,
        erin.raw(named("Erin")).await,
    );
    let erin = Client::sign_in(&game, "erin").await;
    erin.update(&late)
        .await
        .assert_problem(401, "SIGN_IN_AGAIN");
    erin.update(&raw).await.assert_problem(401, "SIGN_IN_AGAIN");
    let fresh = erin.encrypted(named("Erin")).await;
    assert_eq!(erin.update(&fresh).await.status, 200);
}

#[tokio::test]
async fn share_group_id_is_decrypted() {
    let (_dev, game) = dev().await;
    let frank = Client::sign_in(&game, "frank").await;
    let path = "/api/wx/share/group";
    for spelling in ["openGId", "opengid"] {
        let body = frank.encrypted(json!({"data": {spelling: "tGroup"}})).await;
        let response = frank.post(path, &body).await;
        assert_eq!(
            (response.status.as_u16(), &response.body),
            (200, &json!({"openGId": "tGroup"}))
        );
    }
    let single = frank
        .encrypted(json!({"data": {"open_single_roomid": "s", "chat_type": 1}}))
        .await;
    frank
        .post(path, &single)
        .await
        .assert_problem(422, "FIELD_INVALID");
    let of_another = frank
        .encrypted(json!({"data": {"openGId": "t"}, "watermark": {"appid": "wx1"}}))
        .await;
    frank
        .post(path, &of_another)
        .await
        .assert_problem(422, "WATERMARK_REFUSED");
    let grace = Client::sign_in(&game, "grace").await;
    let hers = grace.encrypted(json!({"data": {"openGId": "t"}})).await;
    frank
        .post(path, &hers)
        .await
        .assert_problem(401, "SIGN_IN_AGAIN");
    frank
        .post(path, &json!({"iv": "x"}))
        .await
        .assert_problem(422, "FIELD_MISSING");
}

#[tokio::test]
async fn fleet_accepts_the_previous_key_and_shows_jobs_to_owners_only() {
    let database = TestDatabase::postgres().await;
    let fleet = FleetSettings::new(database.url(), &shared_redis_url().await)
        .env("AVALON_REDIS__KEY_PREFIX", unique_prefix())
        .start(2, 2)
        .await;
    let games = [0, 1].map(|n| Game::of(&fleet.apis[n], &fleet.simulator));
    games[0]
        .set("settings", json!({"sessionKeyRotation": "always"}))
        .await;
    let heidi = Client::sign_in(&games[0], "heidi").await;
    let in_flight = heidi.encrypted(named("Heidi")).await;
    let elsewhere = Client::sign_in(&games[1], "heidi").await;
    let body = elsewhere.update(&in_flight).await.body;
    assert_eq!(body["userInfo"]["nickname"], "Heidi");

    let fresh = elsewhere.encrypted(named("Heidi 2")).await;
    let request = games[1].client.post(games[1].url("/api/wx/updateUserInfo"));
    // Otherwise the job might finish before the response is sent.
    fleet
        .workers
        .iter()
        .for_each(avalon_test_support::Avalon::freeze);
    let accepted = send(
        request
            .bearer_auth(&elsewhere.token)
            .header("prefer", "respond-async")
            .json(&fresh),
    )
    .await;
    fleet
        .workers
        .iter()
        .for_each(avalon_test_support::Avalon::thaw);
    assert_eq!(accepted.status, 202, "{accepted:?}");
    let job = format!("{}?wait=30", accepted.header("location"));
    let ask = |token: &str| games[0].client.get(games[0].url(&job)).bearer_auth(token);
    let shown = send(ask(&elsewhere.token)).await;
    assert_eq!(shown.body["result"]["userInfo"]["nickname"], "Heidi 2");
    let ivan = Client::sign_in(&games[1], "ivan").await;
    send(ask(&ivan.token))
        .await
        .assert_problem(404, "JOB_NOT_FOUND");
}

#[tokio::test]
async fn profile_update_waits_out_a_database_outage() {
    let mut postgres = avalon_test_support::PostgresServer::start().await;
    let database = TestDatabase::on_postgres(&postgres.url()).await;
    let fleet = FleetSettings::new(database.url(), &shared_redis_url().await)
        .env("AVALON_REDIS__KEY_PREFIX", unique_prefix())
        .start(1, 1)
        .await;
    let game = Game::of(&fleet.apis[0], &fleet.simulator);
    let judy = Client::sign_in(&game, "judy").await;
    let update = judy.encrypted(named("Judy")).await;
    postgres.stop();
    let request = game.client.post(game.url("/api/wx/updateUserInfo"));
    let request = request.bearer_auth(&judy.token).header("prefer", "wait=1");
    let response = send(request.json(&update)).await;
    assert_eq!(response.status, 202, "{response:?}");
    postgres.restart().await;
    let job = format!("{}?wait=30", response.header("location"));
    let ended = send(game.client.get(game.url(&job)).bearer_auth(&judy.token)).await;
    assert_eq!(ended.body["status"], "succeeded", "{ended:?}");
    assert_eq!(ended.body["result"]["userInfo"]["nickname"], "Judy");
}
