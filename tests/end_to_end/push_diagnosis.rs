//! `avalon pushes verify` and the checks of `avalon doctor` for pushes and virtual payment, against the test vectors and
//! the simulator.

use std::path::Path;
use std::sync::LazyLock;

use avalon_simulator::VirtualPaymentCredentials;
use avalon_test_support::{Avalon, FleetSettings, RedisServer, TestDatabase};
use avalon_tests::Game;
use avalon_tests::wechat_push::credentials;
use serde_json::{Value, json};

static PUSHES: LazyLock<Value> = LazyLock::new(|| {
    serde_json::from_str(include_str!(
        "../../shared/wechat/tests/vectors/message-push.json"
    ))
    .unwrap()
});
static PAYMENT: LazyLock<Value> = LazyLock::new(|| {
    serde_json::from_str(include_str!(
        "../../shared/wechat/tests/vectors/virtual-payment.json"
    ))
    .unwrap()
});

/// Verifies a recording with the keys of the vectors; returns the steps that fail, and the whole output.
async fn failed(folder: &Path, recording: &str) -> (Vec<String>, String) {
    let file = folder.join("recording");
    std::fs::write(&file, recording).unwrap();
    let keys = &PUSHES["keys"];
    let credentials = json!([
        {"name": "current", "token": keys["token"], "encoding_aes_key": keys["encoding_aes_key"]},
    ]);
    let app_keys = &PAYMENT["keys"]["app_key"];
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let command = Avalon::command("pushes").folder(folder).arg("verify");
    let output = command
        .arg(file.to_str().unwrap())
        .arg("--json")
        .env("AVALON_WECHAT__APP_ID", text(&keys["app_id"]))
        .env("AVALON_PUSH__CREDENTIALS", credentials.to_string())
        .env("AVALON_VPAY__OFFER_ID", text(&PAYMENT["keys"]["offer_id"]))
        .env("AVALON_VPAY__APP_KEY", text(&app_keys["0"]))
        .env("AVALON_VPAY__SANDBOX_APP_KEY", text(&app_keys["1"]))
        .run()
        .await;
    let (stdout, stderr) = (output.stdout.clone(), output.stderr.clone());
    let printed = String::from_utf8(stdout).unwrap() + &String::from_utf8(stderr).unwrap();
    for secret in [
        &keys["token"],
        &keys["encoding_aes_key"],
        &app_keys["0"],
        &app_keys["1"],
        &PAYMENT["keys"]["session_key"],
    ] {
        assert!(!printed.contains(secret.as_str().unwrap()), "{printed}");
    }
    let steps: Vec<Value> =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {printed}"));
    let failed: Vec<String> = steps
        .iter()
        .filter(|step| step["ok"] == false && step["unknown"] == false)
        .map(|step| step["step"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(output.status.success(), failed.is_empty(), "{printed}");
    (failed, printed)
}

#[tokio::test]
async fn recorded_requests_name_the_step_that_fails() {
    let folder = tempfile::tempdir().unwrap();
    let negative = |list: &'static Value, name: &str| {
        let found = list["negatives"].as_array().unwrap().iter();
        let mut found = found.filter(|case| case["name"] == name);
        found.next().unwrap_or_else(|| panic!("{name}")).clone()
    };
    let session_key = &PAYMENT["keys"]["session_key"];
    for (list, name, steps) in [
        (
            &*PUSHES,
            "msg_signature of another token",
            &["msg_signature"][..],
        ),
        (
            &*PUSHES,
            "made for another app, rightly signed",
            &["app id"],
        ),
        (&*PUSHES, "padding byte 33", &["decryption"]),
        (&*PUSHES, "message is not JSON", &["message"]),
        (
            &*PUSHES,
            "plain body while secure mode is configured",
            &["mode"],
        ),
        (
            &*PAYMENT,
            "server call: AppKey of the other environment",
            &["pay_sig"],
        ),
        (
            &*PAYMENT,
            "server call: session key decoded from base64 first",
            &["signature"],
        ),
        (
            &*PAYMENT,
            "server call: env as a string, rightly signed",
            &["parameters"],
        ),
        (
            &*PAYMENT,
            "client call: paySig over signData alone",
            &["paySig"],
        ),
        (
            &*PAYMENT,
            "client call: signData serialised again by the client",
            &["paySig", "signature"],
        ),
        (&*PAYMENT, "push: a quantity changed", &["PayEventSig"]),
        (
            &*PAYMENT,
            "push: payload is no JSON, rightly signed",
            &["payload"],
        ),
    ] {
        let mut case = negative(list, name);
        case["sessionKey"] = session_key.clone();
        let (found, printed) = failed(folder.path(), &case.to_string()).await;
        assert_eq!(found, steps, "{name}: {printed}");
    }
}

#[tokio::test]
async fn request_as_sent_is_verified_byte_for_byte() {
    let folder = tempfile::tempdir().unwrap();
    let case = &PUSHES["secure"][0];
    let query = case["query"].as_object().unwrap().iter();
    let query: Vec<String> = query
        .map(|(name, value)| format!("{name}={}", value.as_str().unwrap()))
        .collect();
    let body = case["body"].as_str().unwrap();
    let request = |body: &str| {
        let query = query.join("&");
        format!("POST /api/wx/push?{query} HTTP/1.1\r\nHost: h\r\n\r\n{body}")
    };
    let (steps, printed) = failed(folder.path(), &request(body)).await;
    assert_eq!(steps, [""; 0], "{printed}");
    assert!(printed.contains("<token of current>"), "{printed}");
    let changed = body.replacen("\"Encrypt\":\"", "\"Encrypt\":\"A", 1);
    let (steps, _) = failed(folder.path(), &request(&changed)).await;
    assert_eq!(steps, ["msg_signature"]);
    let verification = "GET /api/wx/push?signature=00&timestamp=1&nonce=2&echostr=3 HTTP/1.1\n\n";
    assert_eq!(failed(folder.path(), verification).await.0, ["signature"]);
}

/// The health of the doctor's check of this name.
fn health(findings: &Value, name: &str) -> Vec<String> {
    let checks = findings["checks"].as_array().unwrap().iter();
    checks
        .filter(|check| check["name"] == name)
        .map(|check| check["health"].as_str().unwrap().to_owned())
        .collect()
}

async fn doctor(settings: &FleetSettings) -> Value {
    let output = settings.command("doctor").arg("--json").run().await;
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

#[tokio::test]
async fn doctor_verifies_the_push_url_and_the_app_keys() {
    let database = TestDatabase::postgres().await;
    let redis = RedisServer::start().await;
    let test = VirtualPaymentCredentials::TEST;
    let settings = FleetSettings::new(database.url(), &redis.url())
        .env("AVALON_VPAY__OFFER_ID", test.offer_id)
        .env("AVALON_VPAY__APP_KEY", test.app_key)
        .env("AVALON_VPAY__SANDBOX_APP_KEY", test.sandbox_app_key)
        .env("AVALON_PUSH__CREDENTIALS", credentials());
    let fleet = settings.start(1, 0).await;
    let api = &fleet.apis[0];
    let url = format!("{}/api/wx/push", api.http);
    let settings = fleet.settings.clone();
    let with_url = settings
        .clone()
        .env("AVALON_PUSH__PUBLIC_URL", url.as_str());
    let findings = doctor(&with_url).await;
    assert_eq!(health(&findings, "push URL"), ["ok"], "{findings:#}");
    assert_eq!(
        health(&findings, "vpay AppKeys"),
        ["ok", "ok"],
        "{findings:#}"
    );
    for secret in [test.app_key, "avalonPushToken2026"] {
        assert!(!findings.to_string().contains(secret));
    }
    assert_eq!(health(&doctor(&settings).await, "push URL"), ["skipped"]);

    // One fault at a time.
    let other = credentials().replace("avalonPushToken2026", "another");
    let other = with_url.clone().env("AVALON_PUSH__CREDENTIALS", other);
    assert_eq!(health(&doctor(&other).await, "push URL"), ["fail"]);
    let elsewhere = format!("{}/api/wx/pushes", api.http);
    let elsewhere = settings.clone().env("AVALON_PUSH__PUBLIC_URL", elsewhere);
    assert_eq!(health(&doctor(&elsewhere).await, "push URL"), ["fail"]);
    let game = Game::of(api, &fleet.simulator);
    game.set(
        "vpay/keys",
        json!({"appKey": "Another0AppKey0Of0The0Console000"}),
    )
    .await;
    let findings = doctor(&with_url).await;
    assert_eq!(
        health(&findings, "vpay AppKeys"),
        ["fail", "ok"],
        "{findings:#}"
    );
    let rotated = with_url.env(
        "AVALON_VPAY__PREVIOUS_APP_KEY",
        "Another0AppKey0Of0The0Console000",
    );
    let findings = doctor(&rotated).await;
    assert_eq!(
        health(&findings, "vpay AppKeys"),
        ["warn", "ok"],
        "{findings:#}"
    );
    // Answers that do not depend on the signature prove nothing.
    game.set("faults", json!({"errcode": 90018, "api": "vpay_balance"}))
        .await;
    let findings = doctor(&with_vpay(&rotated, test.app_key)).await;
    assert_eq!(
        health(&findings, "vpay AppKeys"),
        ["skipped", "skipped"],
        "{findings:#}"
    );
}

fn with_vpay(settings: &FleetSettings, app_key: &str) -> FleetSettings {
    settings.clone().env("AVALON_VPAY__APP_KEY", app_key)
}
