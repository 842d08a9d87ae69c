//! Sealing, opening, rotation and derivation.

use super::*;

fn key(byte: u8) -> EncryptionKey {
    EncryptionKey::from_bytes([byte; 32])
}

fn ring(current: u8, previous: &[u8]) -> Keyring {
    let previous = previous.iter().map(|byte| key(*byte)).collect::<Vec<_>>();
    Keyring::new(&key(current), &previous).unwrap()
}

#[test]
fn ring_is_send_and_sync() {
    fn shared<T: Send + Sync>(_: T) {}
    shared(ring(1, &[]));
}

#[test]
fn opens_what_it_sealed() {
    let ring = ring(1, &[]);
    for plaintext in [b"".as_slice(), b"session key"] {
        let sealed = ring.seal(plaintext, b"user-1").unwrap();
        assert_eq!(sealed.ciphertext.len(), 12 + plaintext.len() + 16);
        let opened = ring
            .open(&sealed.key_id, &sealed.ciphertext, b"user-1")
            .unwrap();
        assert_eq!(opened.expose_secret(), plaintext);
    }
}

#[test]
fn sealing_a_text_twice_gives_different_results() {
    let ring = ring(1, &[]);
    assert_ne!(ring.seal(b"x", b"").unwrap(), ring.seal(b"x", b"").unwrap());
}

#[test]
fn rotated_ring_opens_old_texts_and_seals_with_the_new_key() {
    let old = ring(1, &[]).seal(b"old", b"a").unwrap();
    let rotated = ring(2, &[1]);
    let opened = rotated.open(&old.key_id, &old.ciphertext, b"a").unwrap();
    assert_eq!(opened.expose_secret(), b"old");
    assert_eq!(rotated.seal(b"new", b"a").unwrap().key_id, key(2).id());
    let retired = ring(2, &[]).open(&old.key_id, &old.ciphertext, b"a");
    assert_eq!(retired.unwrap_err(), KeyringError::UnknownKey);
}

#[test]
fn other_associated_data_is_rejected() {
    let ring = ring(1, &[]);
    let sealed = ring.seal(b"text", b"user-1").unwrap();
    let opened = ring.open(&sealed.key_id, &sealed.ciphertext, b"user-2");
    assert_eq!(opened.unwrap_err(), KeyringError::Tampered);
}

#[test]
fn any_changed_or_missing_byte_is_rejected() {
    let ring = ring(1, &[]);
    let sealed = ring.seal(b"text", b"").unwrap();
    for index in 0..sealed.ciphertext.len() {
        let mut changed = sealed.ciphertext.clone();
        changed[index] ^= 1;
        let opened = ring.open(&sealed.key_id, &changed, b"");
        assert_eq!(opened.unwrap_err(), KeyringError::Tampered);
        let cut = ring.open(&sealed.key_id, &sealed.ciphertext[..index], b"");
        assert_eq!(cut.unwrap_err(), KeyringError::Tampered);
    }
}

#[test]
fn key_has_a_stable_id_and_round_trips_as_base64() {
    // printf '\0%.0s' {1..32} | sha256sum
    assert_eq!(EncryptionKey::from_bytes([0; 32]).id(), "66687aad");
    let key = EncryptionKey::generate().unwrap();
    let text = key.to_base64();
    assert_eq!(
        text.expose_secret().parse::<EncryptionKey>().unwrap().id(),
        key.id()
    );
    assert!(!format!("{key:?}").contains(text.expose_secret()));
}

#[test]
fn keys_of_another_length_are_rejected() {
    for text in ["", "c2hvcnQ=", "not base64!", &STANDARD.encode([0; 33])] {
        assert_eq!(
            text.parse::<EncryptionKey>().unwrap_err(),
            KeyringError::BadKey
        );
    }
}

#[test]
fn derived_secrets_depend_on_key_and_context() {
    let of = |ring: &Keyring, context: &[u8]| -> Vec<Vec<u8>> {
        let Derived { current, previous } = ring.derive(context);
        let all = std::iter::once(&current).chain(&previous);
        all.map(|secret| secret.expose_secret().to_vec()).collect()
    };
    let before = of(&ring(1, &[]), b"a");
    assert_eq!(before, of(&ring(1, &[]), b"a"));
    assert_ne!(before, of(&ring(1, &[]), b"b"));
    let rotated = of(&ring(2, &[1]), b"a");
    assert_eq!((rotated.len(), &rotated[1]), (2, &before[0]));
    assert_ne!(rotated[0], rotated[1]);
    assert_eq!(before[0].len(), 32);
}
