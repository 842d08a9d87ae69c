use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use pem::Pem;
use secrecy::ExposeSecret;
use serde_json::json;

use super::*;

const ISSUER: &str = "avalon-wx";
const HOUR: Duration = Duration::from_secs(3600);

/// The example key of RFC 8037, as `openssl genpkey` would write it, and its public half.
const RFC_8037: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g
-----END PRIVATE KEY-----
";
const RFC_8037_PUBLIC: &str = "-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=
-----END PUBLIC KEY-----
";

fn key() -> SigningKey {
    RFC_8037.parse().unwrap()
}

fn other_key() -> SigningKey {
    SigningKey::generate_pem()
        .unwrap()
        .expose_secret()
        .parse()
        .unwrap()
}

fn verifier() -> TokenVerifier {
    TokenVerifier::new(key().verifying_key(), &[], ISSUER)
}

fn issue(key: &SigningKey, issuer: &str, now: Timestamp) -> String {
    let issuer = TokenIssuer::new(key, issuer, HOUR);
    issuer
        .issue(
            UserId::new(),
            SessionId::new(),
            &OpenId::new("openid-1"),
            now,
        )
        .unwrap()
        .token
}

/// A token with this header and these claims, signed by `sign`.
fn forge(
    header: &serde_json::Value,
    claims: &serde_json::Value,
    sign: impl Fn(&[u8]) -> Vec<u8>,
) -> String {
    let part = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", part(header), part(claims));
    let signature = URL_SAFE_NO_PAD.encode(sign(message.as_bytes()));
    format!("{message}.{signature}")
}

fn good_claims() -> serde_json::Value {
    let now = Timestamp::now().as_second();
    json!({
        "iss": ISSUER, "sub": UserId::new(), "sid": SessionId::new(), "oid": "openid-1",
        "iat": now, "exp": now + 60,
    })
}

#[test]
fn token_names_player_session_and_expiry() {
    let (user, session, now) = (UserId::new(), SessionId::new(), Timestamp::now());
    let issuer = TokenIssuer::from_pem(RFC_8037, ISSUER, HOUR).unwrap();
    let issued = issuer
        .issue(user, session, &OpenId::new("openid-1"), now)
        .unwrap();
    let claims = verifier().verify(&issued.token).unwrap();
    assert_eq!(
        (claims.sub, claims.sid, claims.oid.as_str()),
        (user, session, "openid-1")
    );
    assert_eq!(
        (claims.iat, claims.exp),
        (now.as_second(), now.as_second() + 3600)
    );
    assert_eq!(issued.expires.as_second(), claims.exp);
    assert_eq!(
        decode_header(&issued.token).unwrap().kid.as_deref(),
        Some(key().id())
    );
}

#[test]
fn renewal_ends_at_a_fixed_age_after_the_last_refresh() {
    let issuer = TokenIssuer::from_pem(RFC_8037, ISSUER, HOUR).unwrap();
    let issuer = issuer.renewing_for(3 * HOUR);
    let verifier = verifier();
    let start = Timestamp::now();
    let open_id = OpenId::new("openid-1");
    let first = issuer.issue(UserId::new(), SessionId::new(), &open_id, start);
    let first = verifier.verify(&first.unwrap().token).unwrap();
    assert!(!issuer.should_renew(&first, start + HOUR / 2));
    let (mut claims, mut now) = (first.clone(), start);
    for _ in 0..3 {
        now += HOUR * 9 / 10;
        assert!(issuer.should_renew(&claims, now));
        let renewed = issuer.renew(&claims, now).unwrap();
        claims = verifier.verify(&renewed.token).unwrap();
        assert_eq!(claims.exp, now.as_second() + 3600);
        assert_eq!((claims.sid, claims.auth_time), (first.sid, first.auth_time));
    }
    assert!(!issuer.should_renew(&claims, now + HOUR * 9 / 10));
    // A token of an earlier version counts from its issue.
    let old = Claims {
        auth_time: None,
        ..Claims::clone(&claims)
    };
    assert!(issuer.should_renew(&old, now + HOUR * 9 / 10));
    let renewed = issuer.renew(&old, now).unwrap();
    let renewed = verifier.verify(&renewed.token).unwrap();
    assert_eq!(renewed.auth_time, Some(old.iat));
}

#[test]
fn token_for_another_audience_is_rejected() {
    let now = Timestamp::now();
    let issuer = |audience| {
        let issuer = TokenIssuer::from_pem(RFC_8037, ISSUER, HOUR).unwrap();
        issuer.for_audience(audience)
    };
    let issued = |audience| {
        let open_id = OpenId::new("oAlice");
        let (user, session) = (UserId::new(), SessionId::new());
        let token = issuer(audience).issue(user, session, &open_id, now);
        token.unwrap().token
    };
    let verifier = |audience| {
        let verifier = TokenVerifier::new(key().verifying_key(), &[], ISSUER);
        verifier.for_audience(audience)
    };
    let game = verifier(Some("game"));
    let claims = game.verify(&issued(Some("game"))).unwrap();
    assert_eq!(claims.aud.as_deref(), Some("game"));
    let other = game.verify(&issued(Some("forum")));
    assert_eq!(other.unwrap_err(), TokenError::WrongAudience);
    // Of an earlier version; its renewal has one.
    let old = game.verify(&issued(None)).unwrap();
    assert_eq!(old.aud, None);
    let renewed = issuer(Some("game")).renew(&old, now).unwrap();
    let renewed = game.verify(&renewed.token).unwrap();
    assert_eq!(renewed.aud.as_deref(), Some("game"));
    // Empty: any is accepted.
    assert!(verifier(None).verify(&issued(Some("game"))).is_ok());
}

#[test]
fn thumbprint_matches_rfc_8037() {
    assert_eq!(key().id(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
}

#[test]
fn jwks_is_usable_by_a_jwt_library() {
    let other = other_key();
    let previous = [other.verifying_key().clone()];
    let verifier = TokenVerifier::new(key().verifying_key(), &previous, ISSUER);
    assert_eq!(
        serde_json::to_value(&verifier.jwks().keys[0]).unwrap(),
        json!({
            "kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": key().id(),
            "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
        })
    );
    assert_eq!(verifier.jwks().keys[1].kid, other.id());
    let json = serde_json::to_string(verifier.jwks()).unwrap();
    let set: jsonwebtoken::jwk::JwkSet = serde_json::from_str(&json).unwrap();
    let found = DecodingKey::from_jwk(set.find(key().id()).unwrap()).unwrap();
    let token = issue(&key(), ISSUER, Timestamp::now());
    let mut validation = Validation::new(Algorithm::EdDSA);
    validation.set_issuer(&[ISSUER]);
    assert!(decode::<Claims>(&token, &found, &validation).is_ok());
}

#[test]
fn keys_parse_from_common_pem_forms() {
    assert_eq!(
        &RFC_8037_PUBLIC.parse::<VerifyingKey>().unwrap(),
        key().verifying_key()
    );
    assert_eq!(
        &RFC_8037.parse::<VerifyingKey>().unwrap(),
        key().verifying_key()
    );
    assert_eq!(
        &RFC_8037
            .replace('\n', "\r\n")
            .parse::<VerifyingKey>()
            .unwrap()
            .id(),
        &key().id()
    );

    let pair = aws_lc_rs::signature::Ed25519KeyPair::generate().unwrap();
    let version_2 = pem::encode(&Pem::new("PRIVATE KEY", pair.to_pkcs8().unwrap().as_ref()));
    assert!(version_2.parse::<SigningKey>().is_ok());
}

#[test]
fn other_keys_are_refused() {
    let ec = aws_lc_rs::signature::EcdsaKeyPair::generate_pkcs8(
        &aws_lc_rs::signature::ECDSA_P256_SHA256_FIXED_SIGNING,
        &aws_lc_rs::rand::SystemRandom::new(),
    )
    .unwrap();
    let ec = pem::encode(&Pem::new("PRIVATE KEY", ec.as_ref()));
    for text in [
        "",
        "secret",
        RFC_8037_PUBLIC,
        &ec,
        &RFC_8037.replace("MC4C", "MC4D"),
    ] {
        assert_eq!(
            text.parse::<SigningKey>().unwrap_err(),
            KeyError::NotPrivate
        );
    }
    for text in ["", "secret", &ec, &ec.replace("PRIVATE", "PUBLIC")] {
        assert_eq!(text.parse::<VerifyingKey>().unwrap_err(), KeyError::NotAKey);
    }
}

#[test]
fn tokens_of_a_previous_key_are_valid() {
    let old = other_key();
    let token = issue(&old, ISSUER, Timestamp::now());
    let previous = [old.verifying_key().clone()];
    let rotated = TokenVerifier::new(key().verifying_key(), &previous, ISSUER);
    assert!(rotated.verify(&token).is_ok());
}

#[test]
fn tokens_of_an_unknown_key_are_refused() {
    let token = issue(&other_key(), ISSUER, Timestamp::now());
    assert_eq!(verifier().verify(&token), Err(TokenError::UnknownKey));
    let nameless = forge(&json!({"alg": "EdDSA"}), &good_claims(), |_| vec![0; 64]);
    assert_eq!(verifier().verify(&nameless), Err(TokenError::UnknownKey));
    // Our key's name on another key's signature.
    let mut header = Header::new(Algorithm::EdDSA);
    header.kid = Some(key().id().to_owned());
    let forged = encode(&header, &good_claims(), &other_key().encoding_key()).unwrap();
    assert_eq!(verifier().verify(&forged), Err(TokenError::BadSignature));
}

#[test]
fn other_issuers_are_refused() {
    let token = issue(&key(), "someone-else", Timestamp::now());
    assert_eq!(verifier().verify(&token), Err(TokenError::WrongIssuer));
}

#[test]
fn an_expired_token_is_refused() {
    let issued = Timestamp::from_second(Timestamp::now().as_second() - 3601).unwrap();
    let token = issue(&key(), ISSUER, issued);
    assert_eq!(verifier().verify(&token), Err(TokenError::Expired));
}

#[test]
fn a_token_without_its_claims_is_refused() {
    let mut header = Header::new(Algorithm::EdDSA);
    header.kid = Some(key().id().to_owned());
    for claim in ["iss", "sub", "sid", "oid", "iat", "exp"] {
        let mut claims = good_claims();
        claims.as_object_mut().unwrap().remove(claim);
        let token = encode(&header, &claims, &key().encoding_key()).unwrap();
        assert_eq!(
            verifier().verify(&token),
            Err(TokenError::Malformed),
            "{claim}"
        );
    }
}

#[test]
fn the_token_does_not_choose_the_algorithm() {
    let kid = key().id().to_owned();
    let none = forge(&json!({"alg": "none", "kid": kid}), &good_claims(), |_| {
        Vec::new()
    });
    assert_eq!(verifier().verify(&none), Err(TokenError::Malformed));

    // Algorithm confusion: HMAC with the public key, in each of its forms.
    let raw = URL_SAFE_NO_PAD.decode(key().verifying_key().x()).unwrap();
    for secret in [raw.as_slice(), RFC_8037_PUBLIC.as_bytes()] {
        let hmac_key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret);
        let confused = forge(
            &json!({"alg": "HS256", "kid": kid}),
            &good_claims(),
            |message| aws_lc_rs::hmac::sign(&hmac_key, message).as_ref().to_vec(),
        );
        assert_eq!(verifier().verify(&confused), Err(TokenError::Malformed));
    }
}

#[test]
fn a_changed_token_is_refused() {
    let token = issue(&key(), ISSUER, Timestamp::now());
    let parts = token.split('.').collect::<Vec<_>>();
    let other_payload = URL_SAFE_NO_PAD.encode(good_claims().to_string());
    let changed = format!("{}.{other_payload}.{}", parts[0], parts[2]);
    assert_eq!(verifier().verify(&changed), Err(TokenError::BadSignature));
    for text in ["", ".", "..", "a.b.c", parts[0], &token[..token.len() - 90]] {
        assert!(verifier().verify(text).is_err(), "{text:?}");
    }
}

#[test]
fn private_keys_are_not_printed() {
    assert_eq!(
        format!("{:?}", key()),
        format!("SigningKey({})", key().id())
    );
}
