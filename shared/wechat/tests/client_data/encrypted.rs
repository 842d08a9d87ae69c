use std::time::Duration;

use avalon_wechat::{
    AppId, DataError, EncryptedData, Expected, GroupEntry, InvalidEncryptedData, OpenId,
    SessionKey, UnionId,
};
use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::sealing::{APP, IV, KEY, NOW, data, encrypt, open, open_json, open_with, session_key};

/// WeChat's official example of encrypted data.
mod official {
    pub(super) const APP: &str = "wx4f4bc4dec97d474b";
    pub(super) const KEY: &str = "tiihtNczf5v6AKRyjwEUhQ==";
    pub(super) const IV: &str = "r7BXXKkLb8qrSNn05n0qiA==";
    pub(super) const ENCRYPTED_AT: i64 = 1_477_314_187;
    pub(super) const DATA: &str = "\
        CiyLU1Aw2KjvrjMdj8YKliAjtP4gsMZMQmRzooG2xrDcvSnxIMXFufNstNGTyaGS9uT5geRa0W4oTOb1WT7fJlAC+oNPdbB+\
        3hVbJSRgv+4lGOETKUQz6OYStslQ142dNCuabNPGBzlooOmB231qMM85d2/fV6ChevvXvQP8Hkue1poOFtnEtpyxVLW1zAo6\
        /1Xx1COxFvrc2d7UL/lmHInNlxuacJXwu0fjpXfz/YqYzBIBzD6WUfTIF9GRHpOn/Hz7saL8xz+W//FRAUid1OksQaQx4CMs\
        8LOddcQhULW4ucetDf96JcR3g0gfRK4PC7E/r7Z6xNrXd2UIeorGj5Ef7b1pJAYB6Y5anaHqZ9J6nKEBvB4DnNLIVWSgARns\
        /8wR2SiRS7MNACwTyrGvt9ts8p12PKFdlqYTopNHR1Vf7XjfhQlVsAJdNiKdYmYVoKlaRv85IfVunYzO0IKXsyl7JCUjCpoG\
        20f0a04COwfneQAGGwd5oa+T8yO5hzuyDb/XcxxmK01EpqOyuxINew==";
}

fn open_official(key: &str, app: &str, now: i64) -> Result<avalon_wechat::OpenedData, DataError> {
    let data = EncryptedData::parse(official::DATA, official::IV).unwrap();
    let app_id = AppId::new(app);
    data.open(
        &SessionKey::new(key.into()),
        Expected {
            app_id: &app_id,
            now: Timestamp::from_second(now).unwrap(),
            window: Duration::from_secs(300),
        },
    )
}

#[test]
fn official_example_decrypts() {
    let opened = open_official(official::KEY, official::APP, official::ENCRYPTED_AT + 300).unwrap();
    assert_eq!(opened.encrypted_at.as_second(), official::ENCRYPTED_AT);
    let read = opened.profile().unwrap();
    let open_id = OpenId::new("oGZUI0egBJY1zhBYw2KhdUfwVJJE");
    let union_id = UnionId::new("ocMvos6NjeKLIBqg5Mr9QjxrP1FA");
    assert_eq!(
        (read.open_id, read.union_id),
        (Some(open_id), Some(union_id))
    );
    let profile = read.profile;
    let text = |text: &Option<String>| text.clone().unwrap();
    assert_eq!(text(&profile.nick_name), "Band");
    assert_eq!(
        text(&profile.avatar_url),
        "http://wx.qlogo.cn/mmopen/vi_32/aSKcBBPpibyKNicHNTMM0qJVh8Kjgiak2AHWr8MHM4WgMEm7GFhsf8OYrySdbvAMvTsw3mo8ibKicsnfN5pRjl1p8HQ/0"
    );
    assert_eq!(
        (profile.gender, text(&profile.language)),
        (Some(1), "zh_CN".to_owned())
    );
    assert_eq!(
        (
            text(&profile.country),
            text(&profile.province),
            text(&profile.city)
        ),
        (
            "CN".to_owned(),
            "Guangdong".to_owned(),
            "Guangzhou".to_owned()
        )
    );
}

#[test]
fn official_example_is_rejected_for_another_app_time_or_key() {
    let rejected = |key, app, now| open_official(key, app, now).unwrap_err();
    let at = official::ENCRYPTED_AT;
    assert_eq!(rejected(official::KEY, APP, at), DataError::AppMismatch);
    assert_eq!(
        rejected(official::KEY, official::APP, at + 301),
        DataError::Stale(301)
    );
    assert_eq!(
        rejected(official::KEY, official::APP, at - 301),
        DataError::Stale(301)
    );
    let other = "HyVFkGl5F5OQWJZZaNzBBg==";
    assert_eq!(rejected(other, official::APP, at), DataError::KeyMismatch);
}

fn with_watermark(mut fields: Value) -> Value {
    fields["watermark"] = json!({"appid": APP, "timestamp": NOW});
    fields
}

#[test]
fn decryption_failures_are_indistinguishable() {
    let good = with_watermark(json!({"nickName": "Ann"})).to_string();
    let sealed = encrypt(good.as_bytes(), KEY, IV);
    let cut = &sealed[..sealed.len() - 16];
    let mut flipped = sealed.clone();
    *flipped.last_mut().unwrap() ^= 1;
    for (what, ciphertext) in [
        ("another key", encrypt(good.as_bytes(), [7; 16], IV)),
        ("bad padding", flipped),
        ("truncated", cut.to_vec()),
        ("broken UTF-8", encrypt(b"{\"nickName\":\"\xff\"}", KEY, IV)),
        ("broken JSON", encrypt(b"{\"nickName\":", KEY, IV)),
        ("not an object", encrypt(b"[1]", KEY, IV)),
        ("empty", encrypt(b"", KEY, IV)),
        (
            "deeply nested",
            encrypt("[".repeat(5000).as_bytes(), KEY, IV),
        ),
    ] {
        let error = open(&data(&ciphertext)).unwrap_err();
        assert_eq!(error, DataError::KeyMismatch, "{what}");
        assert_eq!(error.to_string(), DataError::KeyMismatch.to_string());
    }
    // An invalid key is indistinguishable as well.
    let whole = data(&sealed);
    for key in ["", "!", "c2hvcnQ="] {
        let key = SessionKey::new(key.into());
        assert_eq!(open_with(&whole, &key).unwrap_err(), DataError::KeyMismatch);
    }
    assert!(open(&whole).is_ok());
}

#[test]
fn watermark_must_be_present_ours_and_recent() {
    let watermark = |watermark: Value| open_json(&json!({"watermark": watermark})).err();
    let of = |app: &str, second: i64| watermark(json!({"appid": app, "timestamp": second}));
    assert_eq!(of(APP, NOW), None);
    assert_eq!(of(APP, NOW - 300), None, "exactly the window");
    assert_eq!(of(APP, NOW + 300), None, "WeChat's clock may be ahead");
    assert_eq!(of(APP, NOW - 301), Some(DataError::Stale(301)));
    assert_eq!(of(APP, NOW + 301), Some(DataError::Stale(301)));
    assert_eq!(
        of("wx0123456789abcdeF", NOW),
        Some(DataError::AppMismatch),
        "ids are case-sensitive"
    );
    assert_eq!(
        of("wx1111111111111111", NOW - 9000),
        Some(DataError::AppMismatch)
    );
    for invalid in [
        json!(null),
        json!("x"),
        json!({}),
        json!({"appid": APP}),
        json!({"appid": 5, "timestamp": NOW}),
        json!({"appid": APP, "timestamp": NOW.to_string()}),
        json!({"appid": APP, "timestamp": 1.5}),
        json!({"appid": APP, "timestamp": i64::MAX}),
    ] {
        assert_eq!(
            watermark(invalid.clone()),
            Some(DataError::MissingWatermark),
            "{invalid}"
        );
    }
    assert_eq!(
        open_json(&json!({})).err(),
        Some(DataError::MissingWatermark)
    );
}

#[test]
fn wrong_field_types_are_named_and_missing_fields_are_none() {
    let profile = |fields: Value| open_json(&with_watermark(fields)).unwrap().profile();
    for (field, value) in [("openId", json!(1)), ("unionId", json!([]))] {
        let error = profile(json!({field: value})).unwrap_err();
        assert_eq!(error, DataError::Field(field));
    }
    for (field, value) in [
        ("nickName", json!(5)),
        ("avatarUrl", json!({})),
        ("country", json!(true)),
        ("province", json!(1)),
        ("city", json!(1)),
        ("language", json!(1)),
    ] {
        let read = profile(json!({field: value, "gender": 1})).unwrap();
        assert_eq!(read.profile.unreadable, [field]);
        assert_eq!(read.profile.gender, Some(1));
    }
    // `wx.getUserProfile` returns no ids.
    let read = profile(json!({"nickName": "Ann", "gender": 0, "city": null})).unwrap();
    assert_eq!((read.open_id, read.union_id), (None, None));
    assert_eq!(read.profile.nick_name.as_deref(), Some("Ann"));
    assert_eq!((read.profile.gender, read.profile.city), (Some(0), None));
}

#[test]
fn odd_field_of_encrypted_data_does_not_cost_the_others() {
    let watermark = format!(r#""watermark":{{"appid":"{APP}","timestamp":{NOW}}}"#);
    let open_text = |text: &[u8]| open(&data(&encrypt(text, KEY, IV)));
    for odd in [&b"\"a\x01b\""[..], b"\"\\ud83d\"", b"\"\xff\"", b"\"\\x\""] {
        let text = [
            b"{\"nickName\":",
            odd,
            b",\"city\":\"Guangzhou\",",
            watermark.as_bytes(),
            b"}",
        ];
        let read = open_text(&text.concat()).unwrap().profile().unwrap();
        assert_eq!(read.profile.unreadable, ["nickName"], "{odd:?}");
        assert_eq!(read.profile.city.as_deref(), Some("Guangzhou"));
    }
    // An odd id or watermark is no proof of anything.
    let text = format!("{{\"openId\":\"\u{1}\",{watermark}}}");
    let error = open_text(text.as_bytes()).unwrap().profile().unwrap_err();
    assert_eq!(error, DataError::Field("openId"));
    let error = open_text(b"{\"watermark\":\"\x01\"}").err();
    assert_eq!(error, Some(DataError::KeyMismatch));
}

#[test]
fn optional_numbers_may_be_quoted_or_invalid() {
    for (value, number) in [
        (json!(2), Some(2)),
        (json!("2"), Some(2)),
        (json!(1.5), None),
        (json!("two"), None),
        (json!([2]), None),
    ] {
        let opened = open_json(&with_watermark(json!({
            "nickName": "Ann", "gender": value, "opengid": "tGxyz", "chat_type": value,
        })));
        let opened = opened.unwrap();
        assert_eq!(opened.profile().unwrap().profile.gender, number, "{value}");
        let group = opened.group_entry().unwrap();
        assert_eq!(
            (group.open_gid.as_deref(), group.chat_type),
            (Some("tGxyz"), number)
        );
    }
}

#[test]
fn group_id_is_read_under_both_spellings() {
    let group = |fields: Value| open_json(&with_watermark(fields)).unwrap().group_entry();
    let old = group(json!({"openGId": "tGxyz"})).unwrap();
    assert_eq!(old.open_gid.as_deref(), Some("tGxyz"));
    let new = group(json!({
        "opengid": "tGxyz", "open_single_roomid": "", "group_openid": "oG1", "chat_type": 3,
    }));
    assert_eq!(
        new.unwrap(),
        GroupEntry {
            open_gid: Some("tGxyz".to_owned()),
            open_single_room_id: None,
            group_open_id: Some("oG1".to_owned()),
            chat_type: Some(3),
        }
    );
    assert_eq!(group(json!({})).unwrap(), GroupEntry::default());
    assert_eq!(
        group(json!({"opengid": 5})).unwrap_err(),
        DataError::Field("opengid")
    );
}

#[test]
fn malformed_input_is_rejected_before_trying_a_key() {
    let parse = |data: &str, iv: &str| EncryptedData::parse(data, iv).unwrap_err();
    let (data, iv) = ("AAAAAAAAAAAAAAAAAAAAAA==", "AAAAAAAAAAAAAAAAAAAAAA==");
    assert!(EncryptedData::parse(data, iv).is_ok());
    for invalid in [
        "",
        "!",
        "AAAA",
        "AAAAAAAAAAAAAAAAAAAAAA",
        "AAAAAAAA AAAAAAAAAAAAAA==",
    ] {
        assert_eq!(
            parse(invalid, iv),
            InvalidEncryptedData::Data,
            "{invalid:?}"
        );
    }
    for invalid in [
        "",
        "AAAA",
        "AAAAAAAAAAAAAAAAAAAAAAAA",
        "r7BXXKkLb8qrSNn05n0qiA",
    ] {
        assert_eq!(
            parse(data, invalid),
            InvalidEncryptedData::Iv,
            "{invalid:?}"
        );
    }
    let long = "A".repeat(EncryptedData::MAX_LEN + 4);
    assert_eq!(parse(&long, iv), InvalidEncryptedData::TooLong);
}

#[test]
fn debug_redacts_the_data() {
    let opened = open_json(&with_watermark(json!({"nickName": "Ann"}))).unwrap();
    let sealed = EncryptedData::parse(official::DATA, official::IV).unwrap();
    assert!(!format!("{opened:?}").contains("Ann"));
    assert!(!format!("{sealed:?}").contains("CiyLU1"));
}

proptest! {
    #[test]
    fn encrypted_data_decrypts_only_with_its_key(
        name in "\\PC{0,80}",
        key in any::<[u8; 16]>(),
        other in any::<[u8; 16]>(),
    ) {
        prop_assume!(key != other);
        let json = with_watermark(json!({"nickName": name})).to_string();
        let sealed = data(&encrypt(json.as_bytes(), key, IV));
        let opened = open_with(&sealed, &session_key(&key)).unwrap();
        prop_assert_eq!(opened.profile().unwrap().profile.nick_name, Some(name));
        let rejected = open_with(&sealed, &session_key(&other)).unwrap_err();
        prop_assert_eq!(rejected, DataError::KeyMismatch);
    }

    #[test]
    fn random_bytes_never_panic_and_never_decrypt(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        text in ".{0,60}",
    ) {
        let _ = EncryptedData::parse(&text, &text);
        let whole = bytes.len() / 16 * 16;
        if whole > 0 {
            prop_assert!(open(&data(&bytes[..whole])).is_err());
        }
        // The same bytes as plaintext.
        if let Ok(opened) = open(&data(&encrypt(&bytes, KEY, IV))) {
            let _ = (opened.profile(), opened.group_entry());
        }
    }
}
