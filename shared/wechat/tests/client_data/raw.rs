use avalon_wechat::{DataError, InvalidRawData, RawData, SessionKey, UserProfile};
use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use proptest::prelude::*;

const KEY: &str = "HyVFkGl5F5OQWJZZaNzBBg==";
/// WeChat's official example.
const RAW: &str = r#"{"nickName":"Band","gender":1,"language":"zh_CN","city":"Guangzhou","province":"Guangdong","country":"CN","avatarUrl":"http://wx.qlogo.cn/mmopen/vi_32/1vZvI39NWFQ9XM4LtQpFrQJ1xlgZxx3w7bQxKARol6503Iuswjjn6nIGBiaycAjAtpujxyzYsrztuuICqIM5ibXQ/0"}"#;
const SIGNATURE: &str = "75e81ceda165f4ffa64f4068af58c64b8f54b88c";

fn key() -> SessionKey {
    SessionKey::new(KEY.into())
}

fn sign(text: &str) -> String {
    let signed = format!("{text}{KEY}");
    hex::encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, signed.as_bytes()))
}

fn open(text: &str) -> Result<UserProfile, DataError> {
    RawData::parse(text, &sign(text)).unwrap().open(&key())
}

#[test]
fn official_example_is_accepted() {
    let profile = RawData::parse(RAW, SIGNATURE)
        .unwrap()
        .open(&key())
        .unwrap();
    assert_eq!(profile.nick_name.as_deref(), Some("Band"));
    assert_eq!(profile.city.as_deref(), Some("Guangzhou"));
    assert_eq!(profile.gender, Some(1));
}

#[test]
fn other_text_key_or_signature_is_rejected() {
    let rejected = |text: &str, signature: &str, key: &str| {
        let data = RawData::parse(text, signature).unwrap();
        data.open(&SessionKey::new(key.into())).unwrap_err()
    };
    let another = RAW.replace("Band", "Bond");
    let off_by_one = SIGNATURE.replace("88c", "88d");
    assert_eq!(rejected(&another, SIGNATURE, KEY), DataError::KeyMismatch);
    assert_eq!(rejected(RAW, &off_by_one, KEY), DataError::KeyMismatch);
    let stale = "tiihtNczf5v6AKRyjwEUhQ==";
    assert_eq!(rejected(RAW, SIGNATURE, stale), DataError::KeyMismatch);
}

#[test]
fn signature_is_40_hex_digits_and_text_is_bounded() {
    for invalid in [
        "",
        "75e8",
        &SIGNATURE[1..],
        &format!("{SIGNATURE}00"),
        &"g".repeat(40),
    ] {
        assert_eq!(
            RawData::parse(RAW, invalid).unwrap_err(),
            InvalidRawData::Signature,
            "{invalid}"
        );
    }
    let long = "x".repeat(RawData::MAX_LEN + 1);
    assert_eq!(
        RawData::parse(&long, SIGNATURE).unwrap_err(),
        InvalidRawData::TooLong
    );
}

#[test]
fn correctly_signed_text_must_still_be_a_profile() {
    for (text, field) in [("", "rawData"), ("{", "rawData"), ("[]", "rawData")] {
        assert_eq!(open(text).unwrap_err(), DataError::Field(field), "{text}");
    }
    assert_eq!(open("{}").unwrap(), UserProfile::default());
}

#[test]
fn odd_field_of_signed_text_does_not_cost_the_others() {
    for odd in ["\"a\u{1}b\"", r#""\ud83d""#, "5"] {
        let profile = open(&format!(r#"{{"nickName":{odd},"city":"Guangzhou"}}"#)).unwrap();
        assert_eq!(profile.unreadable, ["nickName"], "{odd}");
        assert_eq!(profile.nick_name, None);
        assert_eq!(profile.city.as_deref(), Some("Guangzhou"));
    }
}

proptest! {
    #[test]
    fn signed_text_never_panics_and_unsigned_is_rejected(text in ".{0,200}") {
        let _ = open(&text);
        let unsigned = RawData::parse(&text, SIGNATURE).unwrap();
        prop_assert_eq!(unsigned.open(&key()).unwrap_err(), DataError::KeyMismatch);
    }
}
