//! The rules as players observe them, and the policy as an invariant under random steps.

use std::collections::{HashMap, HashSet};
use std::num::NonZeroU32;

use proptest::prelude::*;
use proptest::sample::Index;

use super::*;
use crate::accounts::sessions::session::Device;
use crate::base::ids::UserId;
use crate::storage::keyring::{EncryptionKey, Keyring};

const TTL: Duration = Duration::from_secs(3600);

#[test]
fn end_reasons_have_the_same_names_in_documents_and_logs() {
    let reasons = [
        (EndReason::SignedOut, "signed_out"),
        (EndReason::Replaced, "replaced"),
        (EndReason::RefreshReused, "refresh_reused"),
        (EndReason::Banned, "banned"),
        (EndReason::ByOperator, "by_operator"),
    ];
    for (reason, name) in reasons {
        assert_eq!(reason.to_string(), name);
        assert_eq!(serde_json::to_value(reason).unwrap(), name);
    }
}

const RULES: SessionRules = SessionRules {
    policy: DevicePolicy::Single,
    ttl: TTL,
    max_age: Duration::from_secs(7200),
    refresh_grace: Duration::from_secs(10),
};

fn keyring() -> Keyring {
    Keyring::new(&EncryptionKey::from_bytes([1; 32]), &[]).unwrap()
}

/// Uses the token; returns its successor.
fn refresh(
    all: &mut PlayerSessions,
    token: &RefreshToken,
    second: i64,
) -> Result<RefreshToken, RefreshRefusal> {
    let successors = token.successors(&keyring());
    all.refresh(token, &successors, &RULES, at(second))
        .map(|(_, rotation)| RefreshToken::parse(rotation.next.expose()).unwrap())
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_795_000_000 + second).unwrap()
}

/// A session and its first refresh token.
fn with_token(second: i64) -> (Session, RefreshToken) {
    let mut session = session(None, None, second);
    let token = RefreshToken::generate(UserId::new(), session.id).unwrap();
    (session.family, session.refresh) = (token.family(), token.digest());
    (session, token)
}

fn session(id: Option<&str>, kind: Option<&str>, second: i64) -> Session {
    let session = SessionId::new();
    let token = RefreshToken::generate(UserId::new(), session).unwrap();
    Session {
        id: session,
        open_id: "openid-1".to_owned(),
        device: Device {
            id: id.map(str::to_owned),
            kind: kind.map(str::to_owned),
            scene: None,
        },
        created_at: at(second).as_millisecond(),
        refreshed_at: at(second).as_millisecond(),
        expires_at: after(at(second), TTL),
        family: token.family(),
        refresh: token.digest(),
        signing_key: None,
        ended: None,
    }
}

fn multi(max: u32) -> DevicePolicy {
    DevicePolicy::Multi(NonZeroU32::new(max).unwrap())
}

/// Signs in on one device after the other, a second apart; returns the session ids.
fn sign_in(
    all: &mut PlayerSessions,
    policy: DevicePolicy,
    devices: &[(Option<&str>, Option<&str>)],
) -> Vec<SessionId> {
    let first = all.sessions.len() as i64;
    let sign_in = |(second, (id, kind)): (i64, &(Option<&str>, Option<&str>))| {
        let new = session(*id, *kind, second);
        all.sign_in(new.clone(), policy, at(second)).unwrap();
        new.id
    };
    (first..).zip(devices).map(sign_in).collect()
}

fn live(all: &PlayerSessions, ids: &[SessionId]) -> Vec<bool> {
    let now = at(100);
    ids.iter().map(|id| all.live(*id, now).is_ok()).collect()
}

#[test]
fn single_keeps_the_latest_session_and_reports_replacement() {
    let mut all = PlayerSessions::default();
    let devices = [
        (Some("a"), Some("ios")),
        (Some("b"), Some("pc")),
        (None, None),
    ];
    let ids = sign_in(&mut all, DevicePolicy::Single, &devices);
    assert_eq!(live(&all, &ids), [false, false, true]);
    let refused = all.live(ids[0], at(100)).unwrap_err();
    assert_eq!(refused, Refusal::Ended(EndReason::Replaced));
}

#[test]
fn per_device_type_keeps_one_session_of_each_type() {
    let mut all = PlayerSessions::default();
    let devices = [
        (Some("a"), Some("ios")),
        (Some("b"), Some("pc")),
        (Some("c"), Some("ios")),
        (None, None),
        (None, None),
        // The same device cannot hold two, even under another type.
        (Some("b"), Some("web")),
    ];
    let ids = sign_in(&mut all, DevicePolicy::PerDeviceType, &devices);
    assert_eq!(live(&all, &ids), [false, false, true, false, true, true]);
}

#[test]
fn multi_keeps_the_latest_and_a_device_replaces_its_own() {
    let mut all = PlayerSessions::default();
    let devices = [(Some("a"), None), (Some("b"), None), (Some("c"), None)];
    let ids = sign_in(&mut all, multi(3), &devices);
    assert_eq!(live(&all, &ids), [true, true, true]);
    let again = sign_in(&mut all, multi(3), &[(Some("c"), None)]);
    assert_eq!(live(&all, &ids), [true, true, false]);
    let fourth = sign_in(&mut all, multi(3), &[(Some("d"), None)]);
    assert_eq!(live(&all, &ids), [false, true, false]);
    assert_eq!(live(&all, &[again[0], fourth[0]]), [true, true]);
}

#[test]
fn only_sessions_of_other_devices_are_reported_as_replaced() {
    type Named = (Option<&'static str>, Option<&'static str>);
    let table: [(Named, Named, bool); 7] = [
        ((Some("a"), Some("ios")), (Some("a"), Some("ios")), false),
        ((Some("a"), Some("ios")), (Some("a"), Some("web")), false),
        ((Some("a"), None), (Some("b"), None), true),
        ((Some("a"), None), (None, None), true),
        ((None, None), (Some("a"), None), true),
        // A client that does not name its device: its daily sign-in.
        ((None, Some("ios")), (None, Some("ios")), false),
        ((None, Some("ios")), (None, Some("pc")), true),
    ];
    for (before, after, reported) in table {
        let mut all = PlayerSessions::default();
        let first = sign_in(&mut all, DevicePolicy::Single, &[before])[0];
        let new = session(after.0, after.1, 1);
        let ended = all.sign_in(new, DevicePolicy::Single, at(1)).unwrap();
        assert_eq!(ended == [first], reported, "{before:?} then {after:?}");
        assert!(all.live(first, at(2)).is_err());
    }
}

#[test]
fn repeated_sign_in_job_creates_one_session_with_new_secrets() {
    let mut all = PlayerSessions::default();
    let first = session(None, None, 0);
    all.sign_in(first.clone(), DevicePolicy::Single, at(0))
        .unwrap();
    let mut again = first.clone();
    again.refresh = with_token(0).1.digest();
    let ended = all
        .sign_in(again.clone(), DevicePolicy::Single, at(1))
        .unwrap();
    assert_eq!((ended, all.sessions.len()), (vec![], 1));
    assert_eq!(all.sessions[0].refresh, again.refresh);

    // Unless a later sign-in has overtaken it.
    sign_in(&mut all, DevicePolicy::Single, &[(None, None)]);
    all.sign_in(first.clone(), DevicePolicy::Single, at(2))
        .unwrap();
    let refused = all.live(first.id, at(3)).unwrap_err();
    assert_eq!(refused, Refusal::Ended(EndReason::Replaced));
}

#[test]
fn refresh_replaces_the_token_and_extends_the_session() {
    let mut all = PlayerSessions::default();
    let (new, first) = with_token(0);
    all.sign_in(new.clone(), DevicePolicy::Single, at(0))
        .unwrap();
    let next = refresh(&mut all, &first, 3599).unwrap();
    assert_eq!(all.sessions[0].expires_at, after(at(3599), TTL));
    assert!(all.live(new.id, at(7000)).is_ok());
    assert!(refresh(&mut all, &next, 3600).is_ok());
}

#[test]
fn session_ends_at_its_maximum_age_whatever_the_refreshes() {
    let mut all = PlayerSessions::default();
    let (new, first) = with_token(0);
    all.sign_in(new.clone(), DevicePolicy::Single, at(0))
        .unwrap();
    let next = refresh(&mut all, &first, 3599).unwrap();
    let next = refresh(&mut all, &next, 7000).unwrap();
    assert!(all.live(new.id, at(7199)).is_ok());
    assert_eq!(all.live(new.id, at(7200)).unwrap_err(), Refusal::Expired);
    // Also one that an earlier version has prolonged.
    all.sessions[0].expires_at = after(at(7200), TTL);
    let refused = refresh(&mut all, &next, 7200).map(drop);
    assert_eq!(refused, Err(RefreshRefusal::Session(Refusal::Expired)));
}

#[test]
fn repeat_within_the_grace_period_gets_the_same_successor() {
    let mut all = PlayerSessions::default();
    let (new, first) = with_token(0);
    all.sign_in(new, DevicePolicy::Single, at(0)).unwrap();
    let next = refresh(&mut all, &first, 1).unwrap();
    let written = all.clone();
    // 0: another process, whose clock is a second behind.
    for second in [0, 1, 2, 11] {
        let again = refresh(&mut all, &first, second).unwrap();
        assert_eq!(again.expose(), next.expose());
    }
    assert_eq!(all, written, "nothing is prolonged");
    let late = refresh(&mut all, &first, 12).map(drop);
    assert_eq!(late, Err(RefreshRefusal::Reused));
}

#[test]
fn repeat_ends_the_session_once_the_successor_was_used() {
    let mut all = PlayerSessions::default();
    let (new, first) = with_token(0);
    all.sign_in(new, DevicePolicy::Single, at(0)).unwrap();
    let second = refresh(&mut all, &first, 1).unwrap();
    let third = refresh(&mut all, &second, 2).unwrap();
    let again = refresh(&mut all, &second, 3).unwrap();
    assert_eq!(again.expose(), third.expose());
    let grandparent = refresh(&mut all, &first, 3).map(drop);
    assert_eq!(grandparent, Err(RefreshRefusal::Reused));
    assert!(refresh(&mut all, &third, 4).is_err());
}

#[test]
fn repeat_at_a_process_with_a_rotated_key_gets_the_same_successor() {
    let mut all = PlayerSessions::default();
    let (new, first) = with_token(0);
    all.sign_in(new, DevicePolicy::Single, at(0)).unwrap();
    let next = refresh(&mut all, &first, 1).unwrap();
    let (old, key) = ([1, 2])
        .map(|byte| EncryptionKey::from_bytes([byte; 32]))
        .into();
    let successors = first.successors(&Keyring::new(&key, &[old]).unwrap());
    let (_, rotation) = all.refresh(&first, &successors, &RULES, at(2)).unwrap();
    assert_eq!(rotation.next.expose(), next.expose());
    assert!(rotation.repeated);
}

#[test]
fn reused_token_of_any_age_ends_the_session_but_a_guess_does_not() {
    let mut all = PlayerSessions::default();
    let (new, first) = with_token(0);
    all.sign_in(new.clone(), DevicePolicy::Single, at(0))
        .unwrap();
    let mut token = RefreshToken::parse(first.expose()).unwrap();
    for second in 1..50 {
        token = refresh(&mut all, &token, second).unwrap();
    }
    let guess = RefreshToken::generate(first.user, new.id).unwrap();
    let refused = refresh(&mut all, &guess, 60).map(drop);
    assert_eq!(refused, Err(RefreshRefusal::Session(Refusal::Unknown)));
    assert!(all.live(new.id, at(60)).is_ok());

    let theft = refresh(&mut all, &first, 61).map(drop);
    assert_eq!(theft, Err(RefreshRefusal::Reused));
    let ended = Refusal::Ended(EndReason::RefreshReused);
    assert_eq!(all.live(new.id, at(62)).unwrap_err(), ended);
    let too_late = refresh(&mut all, &token, 63).map(drop);
    assert_eq!(too_late, Err(RefreshRefusal::Session(ended)));
}

#[test]
fn session_expires_unless_refreshed() {
    let mut all = PlayerSessions::default();
    let (new, token) = with_token(0);
    all.sign_in(new.clone(), DevicePolicy::Single, at(0))
        .unwrap();
    assert_eq!(all.live(new.id, at(3600)).unwrap_err(), Refusal::Expired);
    let refused = refresh(&mut all, &token, 3600).map(drop);
    assert_eq!(
        refused.unwrap_err(),
        RefreshRefusal::Session(Refusal::Expired)
    );
}

#[test]
fn ban_refuses_a_sign_in_that_is_in_progress() {
    let mut all = PlayerSessions {
        banned: true,
        ..PlayerSessions::default()
    };
    let refused = all.sign_in(session(None, None, 0), multi(5), at(0));
    assert_eq!(refused, Err(Banned));
    assert_eq!(all.ttl(at(0)), None, "a ban does not expire");
    // Once lifted, nothing remains, but stores require a positive TTL.
    all.lift_ban();
    assert!(all.ttl(at(0)).unwrap() > Duration::ZERO);
}

#[test]
fn new_device_type_at_each_sign_in_stays_bounded() {
    let mut all = PlayerSessions::default();
    for second in 0..200 {
        let kind = format!("k{second}");
        let new = session(None, Some(&kind), second);
        all.sign_in(new, DevicePolicy::PerDeviceType, at(second))
            .unwrap();
    }
    assert!(
        all.sessions.len() <= MAX_LIVE + MAX_ENDED,
        "{}",
        all.sessions.len()
    );
    let last = all.sessions.last().unwrap().id;
    assert!(all.live(last, at(200)).is_ok());
}

#[test]
fn lifted_ban_is_no_longer_reported_to_devices() {
    let mut all = PlayerSessions::default();
    let new = session(None, None, 0);
    all.sign_in(new.clone(), DevicePolicy::Single, at(0))
        .unwrap();
    assert_eq!(all.ban(at(1)), [new.id]);
    let banned = Refusal::Ended(EndReason::Banned);
    assert_eq!(all.live(new.id, at(2)).unwrap_err(), banned);
    all.lift_ban();
    let ended = Refusal::Ended(EndReason::ByOperator);
    assert_eq!(all.live(new.id, at(3)).unwrap_err(), ended);
}

#[test]
fn document_round_trips_and_debug_output_hides_digests() {
    let mut all = PlayerSessions::default();
    let new = session(Some("a"), Some("ios"), 0);
    all.sign_in(new.clone(), DevicePolicy::Single, at(0))
        .unwrap();
    all.end(new.id, EndReason::SignedOut, at(1));
    let text = serde_json::to_string(&all).unwrap();
    assert_eq!(serde_json::from_str::<PlayerSessions>(&text).unwrap(), all);
    assert!(!format!("{all:?}").contains(&text[text.find("refresh\":\"").unwrap()..][..40]));
}

#[derive(Clone, Debug)]
enum Step {
    SignIn { device: u8, kind: u8 },
    Refresh(Index),
    Reuse(Index),
    End(Index),
    EndAll,
    Wait(i64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..4u8, 0..3u8).prop_map(|(device, kind)| Step::SignIn { device, kind }),
        3 => any::<Index>().prop_map(Step::Refresh),
        1 => any::<Index>().prop_map(Step::Reuse),
        1 => any::<Index>().prop_map(Step::End),
        1 => Just(Step::EndAll),
        1 => (1..4000i64).prop_map(Step::Wait),
    ]
}

proptest! {
    /// Never more live sessions than the policy allows, an ended session stays ended, a device has
    /// one session, and the document is bounded.
    #[test]
    fn policy_holds_for_any_sequence_of_steps(
        policy in prop_oneof![
            Just(DevicePolicy::Single),
            Just(DevicePolicy::PerDeviceType),
            (1..4u32).prop_map(multi),
        ],
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let mut all = PlayerSessions::default();
        let mut clock = 0;
        // The refresh tokens of each session, the valid one last.
        let mut tokens: HashMap<SessionId, Vec<RefreshToken>> = HashMap::new();
        let mut over = HashSet::new();
        for step in steps {
            clock += 1;
            let now = at(clock);
            let chosen = |index: Index| {
                (!all.sessions.is_empty()).then(|| index.get(&all.sessions).id)
            };
            match step {
                Step::SignIn { device, kind } => {
                    let (mut new, token) = with_token(clock);
                    new.device.id = Some(format!("d{device}"));
                    new.device.kind = Some(format!("k{kind}"));
                    tokens.insert(new.id, vec![token]);
                    all.sign_in(new, policy, now).unwrap();
                }
                Step::Refresh(index) => {
                    if let Some(id) = chosen(index) {
                        let given = tokens[&id].last().unwrap();
                        if let Ok(next) = refresh(&mut all, given, clock) {
                            tokens.get_mut(&id).unwrap().push(next);
                        }
                    }
                }
                Step::Reuse(index) => {
                    if let Some(id) = chosen(index)
                        && let [used, _, _, ..] = &tokens[&id][..]
                    {
                        prop_assert!(refresh(&mut all, used, clock).is_err());
                        over.insert(id);
                    }
                }
                Step::End(index) => {
                    if let Some(id) = chosen(index) {
                        all.end(id, EndReason::ByOperator, now);
                    }
                }
                Step::EndAll => {
                    all.end_all(EndReason::SignedOut, now);
                }
                Step::Wait(seconds) => clock += seconds,
            }
            let now = at(clock);
            let live: Vec<_> = all.sessions.iter().filter(|s| s.is_live(now)).collect();
            let room = match policy {
                DevicePolicy::Single => 1,
                DevicePolicy::PerDeviceType => 3,
                DevicePolicy::Multi(most) => most.get() as usize,
            };
            prop_assert!(live.len() <= room, "{live:?}");
            let mut devices: Vec<_> = live.iter().map(|s| s.device.id.clone()).collect();
            devices.dedup();
            prop_assert_eq!(devices.len(), live.len());
            for session in &live {
                prop_assert!(!over.contains(&session.id), "an ended session is live");
            }
            over.extend(all.sessions.iter().filter(|s| !s.is_live(now)).map(|s| s.id));
            prop_assert!(all.sessions.len() <= room + MAX_ENDED);
        }
    }
}
