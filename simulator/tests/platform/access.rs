//! Access tokens, and the APIs that require one.

use hmac_text::sign;
use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::Offset;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{APP_ID, APP_SECRET, TestSimulator, errcode};

const CHECK: &str = "/wxa/checksession";
const RESET: &str = "/wxa/resetusersessionkey";
const RISK: &str = "/wxa/getuserriskrank";
const TEXT: &str = "/wxa/msg_sec_check";
const GAME_TEXT: &str = "/wxa/game/content_spam/msg_sec_check";

/// The login-state signature, implemented independently of the simulator.
mod hmac_text {
    use aws_lc_rs::hmac;

    pub(crate) fn sign(session_key_text: &str) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, session_key_text.as_bytes());
        hex::encode(hmac::sign(&key, b""))
    }
}

impl TestSimulator {
    async fn platform(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        body: &str,
    ) -> Value {
        let request = self.http.request(method, format!("{}{path}", self.base));
        let request = request.query(query).body(body.to_owned());
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        response.json().await.unwrap()
    }

    async fn stable(&self, force: bool) -> Value {
        let body = json!({
            "grant_type": "client_credential", "appid": APP_ID, "secret": APP_SECRET,
            "force_refresh": force,
        });
        self.platform(
            Method::POST,
            "/cgi-bin/stable_token",
            &[],
            &body.to_string(),
        )
        .await
    }

    async fn token(&self) -> String {
        text(&self.stable(false).await["access_token"])
    }

    async fn classic(&self) -> String {
        let query = [
            ("grant_type", "client_credential"),
            ("appid", APP_ID),
            ("secret", APP_SECRET),
        ];
        let answer = self
            .platform(Method::GET, "/cgi-bin/token", &query, "")
            .await;
        assert_eq!(answer["expires_in"], 7200);
        text(&answer["access_token"])
    }

    /// Returns the errcode of a call with this token; a valid one reaches the last check, 87009.
    async fn errcode_with_token(&self, token: &str) -> i64 {
        let openid = text(&self.session("sim-alice").await["openid"]);
        let query = [
            ("access_token", token),
            ("openid", &openid),
            ("signature", "x"),
            ("sig_method", "hmac_sha256"),
        ];
        errcode(&self.platform(Method::GET, CHECK, &query, "").await)
    }

    async fn skew(&self, seconds: i64) {
        self.put(
            "/settings",
            &json!({"clockSkewSeconds": seconds}).to_string(),
        )
        .await;
    }

    /// Returns the skew that moves the clock to tomorrow's noon in Beijing.
    async fn noon(&self) -> i64 {
        self.skew_to(|today| today.tomorrow().unwrap().at(12, 0, 0, 0))
            .await
    }

    /// Returns the skew that moves the clock to this time in Beijing.
    async fn skew_to(&self, time: impl Fn(Date) -> DateTime) -> i64 {
        let now: Timestamp = text(&self.get("/state").await["now"]).parse().unwrap();
        let beijing = Offset::constant(8);
        let then = time(beijing.to_datetime(now).date());
        let then = beijing.to_timestamp(then).unwrap();
        then.duration_since(now).as_secs()
    }

    async fn post(&self, path: &str, body: &Value) -> Value {
        let token = self.token().await;
        self.platform(
            Method::POST,
            path,
            &[("access_token", &token)],
            &body.to_string(),
        )
        .await
    }

    async fn invalidate(&self, body: &str) {
        let (status, _) = self.control(Method::POST, "/tokens/invalidate", body).await;
        assert_eq!(status, 204);
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

/// The errcode of a call that only fails on its signature, the last check after the token.
const VALID_TOKEN: i64 = 87009;

#[tokio::test]
async fn stable_token_is_renewed_five_minutes_before_expiry() {
    let sim = TestSimulator::start().await;
    let first = sim.stable(false).await;
    assert_eq!(first["expires_in"], 7200);
    assert_eq!(first.get("errcode"), None);
    let first = text(&first["access_token"]);
    sim.skew(6000).await;
    let same = sim.stable(false).await;
    assert_eq!(same["access_token"], first);
    let left = same["expires_in"].as_i64().unwrap();
    assert!((1190..=1200).contains(&left), "{left}");
    sim.skew(6950).await;
    let second = sim.token().await;
    assert_ne!(second, first);
    assert_eq!(
        sim.errcode_with_token(&first).await,
        VALID_TOKEN,
        "it stays valid during the overlap"
    );
    assert_eq!(sim.errcode_with_token(&second).await, VALID_TOKEN);
    sim.skew(7201).await;
    assert_eq!(sim.errcode_with_token(&first).await, 42001);
    assert_eq!(sim.errcode_with_token(&second).await, VALID_TOKEN);
}

#[tokio::test]
async fn token_lifetime_follows_the_setting() {
    let sim = TestSimulator::start().await;
    sim.put("/settings", r#"{"tokenLifeSeconds":220}"#).await;
    let short = sim.stable(false).await;
    assert_eq!(short["expires_in"], 220);
    sim.skew(221).await;
    assert_eq!(
        sim.errcode_with_token(&text(&short["access_token"])).await,
        42001
    );
    sim.put("/settings", r#"{"tokenLifeSeconds":null}"#).await;
    assert_eq!(sim.stable(false).await["expires_in"], 7200);
}

#[tokio::test]
async fn forced_renewal_is_limited_to_30_seconds_and_20_a_day() {
    let sim = TestSimulator::start().await;
    // At noon, so that no midnight falls between the calls.
    let noon = sim.noon().await;
    sim.skew(noon).await;
    let first = sim.token().await;
    let second = text(&sim.stable(true).await["access_token"]);
    assert_ne!(second, first);
    assert_eq!(sim.errcode_with_token(&first).await, 40001);
    let too_soon = sim.stable(true).await;
    assert_eq!(too_soon["access_token"], second);
    for times in 1..20 {
        sim.skew(noon + times * 31).await;
        let answer = sim.stable(true).await;
        assert_eq!(errcode(&answer), 0, "{times}");
    }
    sim.skew(noon + 20 * 31).await;
    assert_eq!(errcode(&sim.stable(true).await), 45009);
    assert_eq!(sim.get("/tokens").await["forcedToday"], 20);
    sim.skew(noon + 86_400).await;
    assert_eq!(errcode(&sim.stable(true).await), 0, "a new day");
}

#[tokio::test]
async fn classic_tokens_supersede_only_each_other() {
    let sim = TestSimulator::start().await;
    let stable = sim.token().await;
    let first = sim.classic().await;
    let second = sim.classic().await;
    assert_ne!(first, second);
    assert_eq!(
        sim.errcode_with_token(&first).await,
        VALID_TOKEN,
        "valid for five more minutes"
    );
    sim.skew(301).await;
    assert_eq!(sim.errcode_with_token(&first).await, 40001);
    assert_eq!(sim.errcode_with_token(&second).await, VALID_TOKEN);
    assert_eq!(sim.errcode_with_token(&stable).await, VALID_TOKEN);
    sim.skew(7201).await;
    assert_eq!(sim.errcode_with_token(&second).await, 42001);
}

#[tokio::test]
async fn invalid_tokens_return_distinct_errcodes() {
    let sim = TestSimulator::start().await;
    for (token, expected) in [("", 41001), ("a b", 40014), ("never-issued", 40001)] {
        assert_eq!(sim.errcode_with_token(token).await, expected, "{token:?}");
    }
    let token = sim.token().await;
    sim.invalidate(r#"{"sticky":true}"#).await;
    assert_eq!(sim.errcode_with_token(&token).await, 40001);
    assert_eq!(sim.token().await, token, "a sticky token is still returned");
    let forced = text(&sim.stable(true).await["access_token"]);
    assert_eq!(sim.errcode_with_token(&forced).await, VALID_TOKEN);
    sim.invalidate("{}").await;
    assert_ne!(sim.token().await, forced);
    let requests = sim.get("/requests").await.to_string();
    assert!(!requests.contains(&forced), "{requests}");
}

#[tokio::test]
async fn token_call_validates_each_field() {
    let sim = TestSimulator::start().await;
    let valid = json!({"grant_type": "client_credential", "appid": APP_ID, "secret": APP_SECRET});
    let with = |name: &str, value: Value| {
        let mut body = valid.clone();
        body[name] = value;
        body.to_string()
    };
    let cases = [
        (String::new(), 44002),
        ("[]".to_owned(), 47001),
        ("{".to_owned(), 47001),
        (with("appid", json!("")), 41002),
        (with("secret", json!("")), 41004),
        (with("grant_type", json!("x")), 40002),
        (with("appid", json!("wx1")), 40013),
        (with("appid", json!(1)), 47001),
        (with("secret", json!("x")), 40125),
        (with("force_refresh", json!("true")), 47001),
        (valid.to_string(), 0),
    ];
    for (body, expected) in cases {
        let answer = sim
            .platform(Method::POST, "/cgi-bin/stable_token", &[], &body)
            .await;
        assert_eq!(errcode(&answer), expected, "{body}");
    }
    let get = sim
        .platform(Method::GET, "/cgi-bin/stable_token", &[], "")
        .await;
    assert_eq!(errcode(&get), 43002);
}

#[tokio::test]
async fn session_key_signature_checks_and_resets_the_key() {
    let sim = TestSimulator::start().await;
    let session = sim.session("sim-alice").await;
    let (openid, key) = (text(&session["openid"]), text(&session["session_key"]));
    let token = sim.token().await;
    let call = async |path: &str, openid: &str, signature: &str, method: &str| {
        let query = [
            ("access_token", token.as_str()),
            ("openid", openid),
            ("signature", signature),
            ("sig_method", method),
        ];
        sim.platform(Method::GET, path, &query, "").await
    };
    let signature = sign(&key);
    let ok = call(CHECK, &openid, &signature, "hmac_sha256").await;
    assert_eq!(ok, json!({"errcode": 0, "errmsg": "ok"}));
    for (openid, signature, method, expected) in [
        (openid.as_str(), signature.as_str(), "md5", 87008),
        (&openid, "", "hmac_sha256", 40097),
        ("oNobody", &signature, "hmac_sha256", 40003),
        (&openid, &signature.to_uppercase(), "hmac_sha256", 87009),
    ] {
        for path in [CHECK, RESET] {
            let answer = call(path, openid, signature, method).await;
            assert_eq!(errcode(&answer), expected, "{path} {answer}");
        }
    }
    let reset = call(RESET, &openid, &signature, "hmac_sha256").await;
    assert_eq!(reset["openid"], openid);
    let new = text(&reset["session_key"]);
    assert_ne!(new, key);
    let stale = call(CHECK, &openid, &signature, "hmac_sha256").await;
    assert_eq!(errcode(&stale), 87009, "the old key is invalid at once");
    let fresh = call(CHECK, &openid, &sign(&new), "hmac_sha256").await;
    assert_eq!(errcode(&fresh), 0);
}

#[tokio::test]
async fn risk_rank_is_as_configured_for_active_players() {
    let sim = TestSimulator::start().await;
    let openid = text(&sim.session("sim-alice").await["openid"]);
    let valid = json!({
        "appid": APP_ID, "openid": openid, "scene": 1, "client_ip": "203.0.113.7",
    });
    let with = |name: &str, value: Value| {
        let mut body = valid.clone();
        body[name] = value;
        body
    };
    let answer = sim.post(RISK, &valid).await;
    assert_eq!([&answer["errcode"], &answer["risk_rank"]], [0, 0]);
    assert!(answer["unoin_id"].is_number());
    sim.put(&format!("/players/{openid}/risk"), r#"{"rank":3}"#)
        .await;
    assert_eq!(sim.post(RISK, &valid).await["risk_rank"], 3);
    let stranger = format!("o{}", "x".repeat(27));
    for (body, expected) in [
        (with("appid", json!("wx1")), 40013),
        (with("openid", json!("x")), 40003),
        (with("openid", json!(stranger)), 61010),
        (with("scene", json!(3)), 40129),
        (with("scene", json!("1")), 47001),
        (with("client_ip", json!("")), 40097),
        (with("client_ip", json!("nowhere")), 40097),
    ] {
        let answer = sim.post(RISK, &body).await;
        assert_eq!(errcode(&answer), expected, "{body}");
    }
    sim.skew(2 * 3600 + 1).await;
    assert_eq!(errcode(&sim.post(RISK, &valid).await), 61010);
    let test = sim.post(RISK, &with("is_test", json!(true))).await;
    assert_eq!(errcode(&test), 0);
    let (status, _) = sim
        .control(
            Method::PUT,
            &format!("/players/{openid}/risk"),
            r#"{"rank":5}"#,
        )
        .await;
    assert_eq!(status, 400);
}

#[tokio::test]
async fn texts_are_checked_against_configured_words() {
    let sim = TestSimulator::start().await;
    let openid = text(&sim.session("sim-alice").await["openid"]);
    let words = r#"{"words":[{"word":"坏","label":20003},{"word":"hm","suggest":"review"}]}"#;
    sim.put("/words", words).await;
    let body =
        |content: &str| json!({"version": 2, "openid": openid, "scene": 1, "content": content});
    for (content, suggest, label) in [
        ("你好", "pass", 100),
        ("太坏了", "risky", 20003),
        ("ahm", "review", 21000),
    ] {
        for path in [TEXT, GAME_TEXT] {
            let answer = sim.post(path, &body(content)).await;
            let result = &answer["result"];
            assert_eq!(result["suggest"], suggest, "{path} {answer}");
            assert_eq!(result["label"], label, "{path} {answer}");
        }
    }
    let masked = sim.post(GAME_TEXT, &body("太坏了")).await;
    assert_eq!(masked["result"]["replaced_content"], "太*了");

    let long = "字".repeat(2501);
    let with = |name: &str, value: Value| {
        let mut body = body("你好");
        body[name] = value;
        body
    };
    for (path, body, expected) in [
        (TEXT, body(&long), 45002),
        (TEXT, body(""), 47001),
        (TEXT, with("scene", json!(5)), 40129),
        (GAME_TEXT, with("scene", json!(5)), 0),
        (TEXT, with("version", json!(3)), 40097),
        (GAME_TEXT, with("version", json!(1)), 750_030),
        (
            TEXT,
            with("openid", json!(format!("o{}", "x".repeat(27)))),
            61010,
        ),
        (TEXT, json!({"content": "太坏了"}), 87014),
    ] {
        let answer = sim.post(path, &body).await;
        assert_eq!(errcode(&answer), expected, "{path} {body}");
    }
}

#[tokio::test]
async fn daily_figures_are_available_next_morning_and_stable() {
    let sim = TestSimulator::start().await;
    // 07:30 tomorrow, so that the test does not depend on the time of day.
    let skew = sim
        .skew_to(|today| today.tomorrow().unwrap().at(7, 30, 0, 0))
        .await;
    let midnight = Offset::constant(8).to_datetime(Timestamp::now()).date();
    sim.skew(skew).await;
    let (yesterday, before) = (midnight, midnight.yesterday().unwrap());
    let compact = |day: Date| day.strftime("%Y%m%d").to_string();
    let range =
        |from: Date, to: Date| json!({"begin_date": compact(from), "end_date": compact(to)});
    let path = "/datacube/getweanalysisappiddailyvisittrend";
    let early = sim.post(path, &range(yesterday, yesterday)).await;
    assert_eq!(early, json!({"list": []}));
    sim.put("/analysis", r#"{"unready":"error"}"#).await;
    let early = sim.post(path, &range(yesterday, yesterday)).await;
    assert_eq!(errcode(&early), 61503);
    let old = sim.post(path, &range(before, before)).await;
    assert_eq!(old["list"][0]["ref_date"], compact(before));
    for (body, expected) in [
        (range(before, yesterday), 61501),
        (
            range(midnight.tomorrow().unwrap(), midnight.tomorrow().unwrap()),
            61501,
        ),
        (
            json!({"begin_date": "2026-01-01", "end_date": "2026-01-01"}),
            61500,
        ),
        (json!({}), 61500),
    ] {
        assert_eq!(errcode(&sim.post(path, &body).await), expected, "{body}");
    }
    sim.skew(skew + 3600).await;
    let ready = sim.post(path, &range(yesterday, yesterday)).await;
    assert!(ready["list"][0]["visit_uv"].as_i64().unwrap() >= 1000);
    assert_eq!(sim.post(path, &range(yesterday, yesterday)).await, ready);
    sim.put("/analysis", r#"{"revision":1}"#).await;
    assert_ne!(sim.post(path, &range(yesterday, yesterday)).await, ready);
    sim.put(
        "/analysis",
        &json!({"missingDays": [yesterday]}).to_string(),
    )
    .await;
    assert_eq!(
        errcode(&sim.post(path, &range(yesterday, yesterday)).await),
        61503
    );

    let retain = "/datacube/getweanalysisappiddailyretaininfo";
    let answer = sim.post(retain, &range(before, before)).await;
    assert_eq!(answer["visit_uv"].as_array().unwrap().len(), 1);
    sim.put("/analysis", r#"{"missingDays":[]}"#).await;
    let answer = sim.post(retain, &range(before, before)).await;
    assert_eq!(answer["visit_uv"].as_array().unwrap().len(), 2);
    let summary = "/datacube/getweanalysisappiddailysummarytrend";
    let answer = sim.post(summary, &range(before, before)).await;
    assert!(answer["list"][0]["visit_total"].is_number());
}

#[tokio::test]
async fn game_metric_has_one_row_per_beijing_day() {
    let sim = TestSimulator::start().await;
    let path = "/datacube/getgameanalysisdata";
    // 2026-01-08 and -10 at midnight in Beijing.
    let (start, end) = (1_767_801_600, 1_767_974_400);
    let valid = json!({
        "metric": "1000006:4", "granularity": 24, "start_time": start, "end_time": end,
    });
    let with = |name: &str, value: Value| {
        let mut body = valid.clone();
        body[name] = value;
        body
    };
    let answer = sim.post(path, &valid).await;
    let rows = answer["data_list"].as_array().unwrap();
    assert_eq!(rows.len(), 3);
    assert_eq!(rows[0]["time_label"], "2026-01-08");
    assert_eq!(rows[0]["timestamp"], start);
    assert!(rows[0]["metric_value"].as_i64().unwrap() >= 500);
    for (body, expected) in [
        (with("metric", json!("visits")), 61552),
        (with("granularity", json!(2)), 61553),
        (with("granularity", json!(60)), 61557),
        (with("start_time", json!(start + 1)), 61554),
        (with("start_time", json!(end + 86_400)), 61554),
        (with("group_list", json!(["3"])), 61555),
    ] {
        assert_eq!(errcode(&sim.post(path, &body).await), expected, "{body}");
    }
}
