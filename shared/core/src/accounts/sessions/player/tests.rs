//! The rules as players notice them.

use std::collections::{HashMap, HashSet};
use std::num::NonZeroU32;

use proptest::prelude::*;
use proptest::sample::Index;

use super::super::secrets::RefreshToken;
use super::*;
use crate::base::ids::UserId;

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

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_795_000_000 + second).unwrap()
}

/// A session and its first refresh token.
fn with_token(second: i64) -> (Session, RefreshToken) {
    let mut session = session(None, None, second);
    let token = RefreshToken::make_up(UserId::new(), session.id).unwrap();
    (session.family, session.refresh) = (token.family(), token.digest());
    (session, token)
}

fn session(id: Option<&str>, kind: Option<&str>, second: i64) -> Session {
    let session = SessionId::new();
    let token = RefreshToken::make_up(UserId::new(), session).unwrap();
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

fn multi(most: u32) -> DevicePolicy {
    DevicePolicy::Multi(NonZeroU32::new(most).unwrap())
}

/// Signs in one after the other, a second between; gives the ids.
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
fn single_lets_the_latest_sign_in_live_and_says_so_to_the_others() {
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
fn per_device_type_lets_one_of_each_live() {
    let mut all = PlayerSessions::default();
    let devices = [
        (Some("a"), Some("ios")),
        (Some("b"), Some("pc")),
        (Some("c"), Some("ios")),
        (None, None),
        (None, None),
        // The same device may not hold two, even when it calls itself something else.
        (Some("b"), Some("web")),
    ];
    let ids = sign_in(&mut all, DevicePolicy::PerDeviceType, &devices);
    assert_eq!(live(&all, &ids), [false, false, true, false, true, true]);
}

#[test]
fn multi_lets_the_latest_live_and_a_device_that_returns_takes_its_own_place() {
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
fn only_what_ended_on_another_device_is_told() {
    type Named = (Option<&'static str>, Option<&'static str>);
    let table: [(Named, Named, bool); 7] = [
        ((Some("a"), Some("ios")), (Some("a"), Some("ios")), false),
        ((Some("a"), Some("ios")), (Some("a"), Some("web")), false),
        ((Some("a"), None), (Some("b"), None), true),
        ((Some("a"), None), (None, None), true),
        ((None, None), (Some("a"), None), true),
        // A client that does not name its device: every day's sign-in.
        ((None, Some("ios")), (None, Some("ios")), false),
        ((None, Some("ios")), (None, Some("pc")), true),
    ];
    for (before, after, told) in table {
        let mut all = PlayerSessions::default();
        let first = sign_in(&mut all, DevicePolicy::Single, &[before])[0];
        let new = session(after.0, after.1, 1);
        let ended = all.sign_in(new, DevicePolicy::Single, at(1)).unwrap();
        assert_eq!(ended == [first], told, "{before:?} then {after:?}");
        assert!(all.live(first, at(2)).is_err());
    }
}

#[test]
fn a_sign_in_job_that_is_done_again_makes_one_session_with_the_latest_secrets() {
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

    // Unless a later sign-in has been faster.
    sign_in(&mut all, DevicePolicy::Single, &[(None, None)]);
    all.sign_in(first.clone(), DevicePolicy::Single, at(2))
        .unwrap();
    let refused = all.live(first.id, at(3)).unwrap_err();
    assert_eq!(refused, Refusal::Ended(EndReason::Replaced));
}

#[test]
fn a_refresh_spends_its_token_and_prolongs_the_session() {
    let mut all = PlayerSessions::default();
    let (new, first) = with_token(0);
    all.sign_in(new.clone(), DevicePolicy::Single, at(0))
        .unwrap();
    let next = first.next().unwrap();
    let refreshed = all.refresh(&first, &next, TTL, at(3599)).unwrap();
    assert_eq!(refreshed.expires_at, after(at(3599), TTL));
    assert!(all.live(new.id, at(7000)).is_ok());
    let third = next.next().unwrap();
    assert!(all.refresh(&next, &third, TTL, at(3600)).is_ok());
}

#[test]
fn a_refresh_whose_answer_was_lost_knows_its_own_work() {
    let mut all = PlayerSessions::default();
    let (new, first) = with_token(0);
    all.sign_in(new, DevicePolicy::Single, at(0)).unwrap();
    let next = first.next().unwrap();
    all.refresh(&first, &next, TTL, at(1)).unwrap();
    let written = all.clone();
    all.refresh(&first, &next, TTL, at(2)).unwrap();
    assert_eq!(all, written, "nothing is left to do");
}

#[test]
fn a_spent_token_ends_the_session_however_old_and_a_guess_does_not() {
    let mut all = PlayerSessions::default();
    let (new, first) = with_token(0);
    all.sign_in(new.clone(), DevicePolicy::Single, at(0))
        .unwrap();
    let mut token = RefreshToken::parse(first.expose()).unwrap();
    for second in 1..50 {
        let next = token.next().unwrap();
        all.refresh(&token, &next, TTL, at(second)).unwrap();
        token = next;
    }
    let guess = RefreshToken::make_up(first.user, new.id).unwrap();
    let refused = all
        .refresh(&guess, &guess.next().unwrap(), TTL, at(60))
        .unwrap_err();
    assert_eq!(refused, RefreshRefusal::Session(Refusal::Unknown));
    assert!(all.live(new.id, at(60)).is_ok());

    let theft = all
        .refresh(&first, &first.next().unwrap(), TTL, at(61))
        .unwrap_err();
    assert_eq!(theft, RefreshRefusal::Reused);
    let ended = Refusal::Ended(EndReason::RefreshReused);
    assert_eq!(all.live(new.id, at(62)).unwrap_err(), ended);
    let too_late = all
        .refresh(&token, &token.next().unwrap(), TTL, at(63))
        .unwrap_err();
    assert_eq!(too_late, RefreshRefusal::Session(ended));
}

#[test]
fn a_session_that_was_not_refreshed_in_time_has_expired() {
    let mut all = PlayerSessions::default();
    let (new, token) = with_token(0);
    all.sign_in(new.clone(), DevicePolicy::Single, at(0))
        .unwrap();
    assert_eq!(all.live(new.id, at(3600)).unwrap_err(), Refusal::Expired);
    let refused = all.refresh(&token, &token.next().unwrap(), TTL, at(3600));
    assert_eq!(
        refused.unwrap_err(),
        RefreshRefusal::Session(Refusal::Expired)
    );
}

#[test]
fn a_banned_player_cannot_sign_in_even_when_the_sign_in_was_under_way() {
    let mut all = PlayerSessions {
        banned: true,
        ..PlayerSessions::default()
    };
    let refused = all.sign_in(session(None, None, 0), multi(5), at(0));
    assert_eq!(refused, Err(Banned));
    assert_eq!(all.expires_at(at(0)), None, "a ban is not forgotten");
    // Lifted, it leaves nothing behind, and a store wants a time to come for that.
    all.lift_ban();
    assert!(all.expires_at(at(0)).unwrap() > at(0).as_millisecond());
}

#[test]
fn clients_that_call_each_sign_in_another_device_type_fill_no_store() {
    let mut all = PlayerSessions::default();
    for second in 0..200 {
        let kind = format!("k{second}");
        let new = session(None, Some(&kind), second);
        all.sign_in(new, DevicePolicy::PerDeviceType, at(second))
            .unwrap();
    }
    assert!(
        all.sessions.len() <= MOST_LIVE + MOST_ENDED,
        "{}",
        all.sessions.len()
    );
    let last = all.sessions.last().unwrap().id;
    assert!(all.live(last, at(200)).is_ok());
}

#[test]
fn devices_that_a_ban_signed_out_hear_no_more_of_it_when_it_is_lifted() {
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
fn what_is_kept_has_no_secret_and_reads_back() {
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
    /// Whatever happens: never more live sessions than the policy allows, one that ended stays
    /// ended, a device has one session, and what is remembered is bounded.
    #[test]
    fn the_policy_holds_whatever_happens(
        policy in prop_oneof![
            Just(DevicePolicy::Single),
            Just(DevicePolicy::PerDeviceType),
            (1..4u32).prop_map(multi),
        ],
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let mut all = PlayerSessions::default();
        let mut clock = 0;
        // The refresh tokens of each session, the good one last.
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
                        let next = given.next().unwrap();
                        if all.refresh(given, &next, TTL, now).is_ok() {
                            tokens.get_mut(&id).unwrap().push(next);
                        }
                    }
                }
                Step::Reuse(index) => {
                    if let Some(id) = chosen(index)
                        && let [spent, _, ..] = &tokens[&id][..]
                    {
                        let next = spent.next().unwrap();
                        prop_assert!(all.refresh(spent, &next, TTL, now).is_err());
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
            let alive: Vec<_> = all.sessions.iter().filter(|s| s.is_live(now)).collect();
            let room = match policy {
                DevicePolicy::Single => 1,
                DevicePolicy::PerDeviceType => 3,
                DevicePolicy::Multi(most) => most.get() as usize,
            };
            prop_assert!(alive.len() <= room, "{alive:?}");
            let mut devices: Vec<_> = alive.iter().map(|s| s.device.id.clone()).collect();
            devices.dedup();
            prop_assert_eq!(devices.len(), alive.len());
            for session in &alive {
                prop_assert!(!over.contains(&session.id), "one that ended lives again");
            }
            over.extend(all.sessions.iter().filter(|s| !s.is_live(now)).map(|s| s.id));
            prop_assert!(all.sessions.len() <= room + MOST_ENDED);
        }
    }
}
