//! Decides what a message comes to: at once on receipt, and again when a worker processes it.

use avalon_wechat::message_push::{Event, InvalidEvent, PayEventError, PushOutcome};
use avalon_wechat::virtual_payment::AppKeys;

use super::{Handling, Outcome, handling};

/// What a message comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// Its outcome; none: a job processes it.
    pub outcome: Option<Outcome>,
    /// What WeChat is answered. Every delivery of the message gets the same answer.
    pub answer: PushOutcome,
}

/// Judges an event, verifying that of a payment with `keys`.
pub fn judge(event: Result<&Event, InvalidEvent>, keys: &AppKeys) -> Judgement {
    let Ok(event) = event else {
        return refused(Outcome::Invalid, "a required field is missing");
    };
    // Whether tests are signed like real payments is unconfirmed; they have no effect either way.
    if is_test(event) {
        return accepted(Some(Outcome::Test));
    }
    if let Some(error) = pay_event_error(event, keys) {
        return match error {
            PayEventError::NoSignature => refused(Outcome::Unverified, "PayEventSig is missing"),
            PayEventError::NoAppKey => refused(Outcome::Unverified, "no AppKey is configured"),
            PayEventError::BadSignature => refused(Outcome::Unverified, "PayEventSig is wrong"),
            PayEventError::Unreadable | PayEventError::Invalid(_) => {
                refused(Outcome::Invalid, "the payload cannot be read")
            }
        };
    }
    match handling(event.kind()) {
        Handling::Process => accepted(None),
        Handling::Record => accepted(Some(Outcome::UnknownEvent)),
        Handling::Refuse(reason) => refused(Outcome::Unsupported, reason),
    }
}

fn accepted(outcome: Option<Outcome>) -> Judgement {
    let answer = PushOutcome::Accepted;
    Judgement { outcome, answer }
}

fn refused(outcome: Outcome, reason: &'static str) -> Judgement {
    Judgement {
        outcome: Some(outcome),
        answer: PushOutcome::Failed(reason),
    }
}

fn is_test(event: &Event) -> bool {
    match event {
        Event::ItemDelivery(payload) => payload.is_mock,
        Event::CoinsCredited(payload) => payload.is_mock,
        Event::RechargeCentreCredited(payload) => payload.is_mock,
        Event::Refund(payload) => payload.is_mock,
        Event::GiftPack(gift) => gift.is_preview,
        _ => false,
    }
}

fn pay_event_error(event: &Event, keys: &AppKeys) -> Option<PayEventError> {
    match event {
        Event::ItemDelivery(payload) => payload.open(keys).err(),
        Event::CoinsCredited(payload) => payload.open(keys).err(),
        Event::RechargeCentreCredited(payload) => payload.open(keys).err(),
        Event::Refund(payload) => payload.open(keys).err(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use avalon_wechat::message_push::Envelope;
    use serde_json::{Value, json};

    use super::*;

    fn judged(message: Value) -> Judgement {
        let (envelope, _) = Envelope::read(&message.to_string()).unwrap();
        let event = Event::read(&envelope);
        judge(event.as_ref().map_err(|error| *error), &AppKeys::default())
    }

    fn delivery(is_mock: bool) -> Value {
        let payload = json!({"Env": 0, "OutTradeNo": "1"}).to_string();
        json!({"Event": "minigame_game_pay_goods_deliver_notify",
            "MiniGame": {"Payload": payload, "PayEventSig": "ab", "IsMock": is_mock}})
    }

    fn gift(is_preview: u8) -> Value {
        json!({"Event": "minigame_deliver_goods", "MiniGame": {
            "OrderId": "1", "IsPreview": is_preview, "ToUserOpenid": "o", "Zone": 1001,
            "GoodsList": [{"Id": "gems", "Num": 1}]}})
    }

    #[test]
    fn events_without_an_effect_here_are_not_acknowledged() {
        let unverified = judged(delivery(false));
        assert_eq!(unverified.outcome, Some(Outcome::Unverified));
        assert_eq!(
            unverified.answer,
            PushOutcome::Failed("no AppKey is configured")
        );
        assert_eq!(judged(gift(0)), accepted(None));
        let challenge = json!({"Event": "query_challenge_reward", "QueryReward": {
            "ToUserOpenid": "o", "ItemID": "1"}});
        let unsupported = judged(challenge);
        assert_eq!(unsupported.outcome, Some(Outcome::Unsupported));
        assert!(matches!(unsupported.answer, PushOutcome::Failed(_)));
        let invalid = judged(json!({"Event": "minigame_deliver_goods"}));
        assert_eq!(invalid.outcome, Some(Outcome::Invalid));
        assert!(matches!(invalid.answer, PushOutcome::Failed(_)));
    }

    #[test]
    fn tests_of_the_console_are_answered_with_a_success() {
        for test in [judged(delivery(true)), judged(gift(1))] {
            assert_eq!(test, accepted(Some(Outcome::Test)));
        }
    }

    #[test]
    fn notices_go_to_a_job_and_unknown_events_do_not() {
        let revoked = json!({"Event": "user_authorization_revoke", "OpenID": "o", "AppID": "wx"});
        assert_eq!(judged(revoked), accepted(None));
        for unknown in [
            json!({"Event": "some_new_event"}),
            json!({"MsgType": "text"}),
        ] {
            assert_eq!(judged(unknown), accepted(Some(Outcome::UnknownEvent)));
        }
    }
}
