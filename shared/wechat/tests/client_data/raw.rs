use avalon_wechat::{DataError, InvalidRawData, RawData, SessionKey, UserProfile};
use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use proptest::prelude::*;

const KEY: &str = "HyVFkGl5F5OQWJZZaNzBBg==";
/// WeChat's own sample.
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
fn wechats_own_sample_is_believed() {
    let profile = RawData::parse(RAW, SIGNATURE)
        .unwrap()
        .open(&key())
        .unwrap();
    assert_eq!(profile.nick_name.as_deref(), Some("Band"));
    assert_eq!(profile.city.as_deref(), Some("Guangzhou"));
    assert_eq!(profile.gender, Some(1));
}

#[test]
fn another_text_key_or_signature_is_not() {
    let refused = |text: &str, signature: &str, key: &str| {
        let data = RawData::parse(text, signature).unwrap();
        data.open(&SessionKey::new(key.into())).unwrap_err()
    };
    let another = RAW.replace("Band", "Bond");
    let off_by_one = SIGNATURE.replace("88c", "88d");
    assert_eq!(refused(&another, SIGNATURE, KEY), DataError::KeyDoesNotFit);
    assert_eq!(refused(RAW, &off_by_one, KEY), DataError::KeyDoesNotFit);
    let stale = "tiihtNczf5v6AKRyjwEUhQ==";
    assert_eq!(refused(RAW, SIGNATURE, stale), DataError::KeyDoesNotFit);
}

#[test]
fn a_signature_is_40_hex_digits_and_the_text_is_short() {
    for odd in [
        "",
        "75e8",
        &SIGNATURE[1..],
        &format!("{SIGNATURE}00"),
        &"g".repeat(40),
    ] {
        assert_eq!(
            RawData::parse(RAW, odd).unwrap_err(),
            InvalidRawData::Signature,
            "{odd}"
        );
    }
    let long = "x".repeat(RawData::MAX_LEN + 1);
    assert_eq!(
        RawData::parse(&long, SIGNATURE).unwrap_err(),
        InvalidRawData::TooLong
    );
}

#[test]
fn what_is_rightly_signed_must_still_be_a_profile() {
    for (text, field) in [
        ("", "rawData"),
        ("{", "rawData"),
        ("[]", "rawData"),
        (r#"{"nickName":5}"#, "nickName"),
        (r#"{"city":1}"#, "city"),
    ] {
        assert_eq!(open(text).unwrap_err(), DataError::Field(field), "{text}");
    }
    assert_eq!(open("{}").unwrap(), UserProfile::default());
}

proptest! {
    #[test]
    fn any_signed_text_is_read_or_refused_and_an_unsigned_one_always_refused(text in ".{0,200}") {
        let _ = open(&text);
        let unsigned = RawData::parse(&text, SIGNATURE).unwrap();
        prop_assert_eq!(unsigned.open(&key()).unwrap_err(), DataError::KeyDoesNotFit);
    }
}
