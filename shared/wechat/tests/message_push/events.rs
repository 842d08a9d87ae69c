//! The events of the vectors and of the documentation, in JSON and XML.

use avalon_wechat::message_push::{
    AnswerForm, Event, EventKind, GiftItem, GiftZone, InvalidEvent, MediaSuggestion, PushFormat,
    SubscriptionStatus,
};

use crate::vectors::{case, cases, open, open_plain, plain, secure};

fn event(body: &str) -> Event {
    open_plain(body).unwrap().event().unwrap()
}

fn vector(name: &str) -> Event {
    open(&plain(), case("plain", name))
        .unwrap()
        .event()
        .unwrap()
}

#[test]
fn gift_packs_are_read_from_json_and_xml() {
    let Event::GiftPack(gift) = vector("gift pack, JSON") else {
        panic!("another event");
    };
    assert_eq!(
        (gift.order_id.as_str(), gift.is_preview),
        ("r_20261129_0001", false)
    );
    assert_eq!(gift.open_id.as_str(), "oTest_virtualpay_player_0001");
    assert_eq!(
        (gift.zone, gift.gift_type),
        (GiftZone::AndroidAndPc, Some(18))
    );
    let item = |id: &str, quantity| GiftItem {
        id: id.to_owned(),
        quantity,
    };
    assert_eq!(gift.items, [item("gems-60", 1), item("starter-pack", 1)]);

    let xml = "gift pack for a test (IsPreview 1), XML: one GoodsList element is one item";
    let push = open(&plain(), case("plain", xml)).unwrap();
    assert_eq!(push.format, PushFormat::Xml);
    let Event::GiftPack(gift) = push.event().unwrap() else {
        panic!("another event");
    };
    assert!(gift.is_preview);
    assert_eq!(
        (gift.zone, gift.sent_at.unwrap().as_second()),
        (GiftZone::Ios, 1_790_000_290)
    );
    assert_eq!(gift.items, [item("gems-60", 3)]);
    // The same in secure mode.
    let encrypted = open(&secure(), case("secure", "gift pack, XML")).unwrap();
    assert_eq!(encrypted.event(), push.event());
}

#[test]
fn gift_pack_without_items_is_invalid() {
    let gift = |items: &str| {
        let body = format!(
            r#"{{"Event":"minigame_deliver_goods","MiniGame":{{"OrderId":"r1","ToUserOpenid":"oA","GoodsList":{items}}}}}"#
        );
        open_plain(&body).unwrap().event().map(|_| ())
    };
    assert_eq!(gift(r#"{"Id":"a","Num":1}"#), Ok(()));
    for bad in ["[]", "null", "1", r#"[{"Id":"a","Num":1},2]"#] {
        assert_eq!(gift(bad), Err(InvalidEvent("GoodsList")), "{bad}");
    }
    assert_eq!(gift(r#"{"Id":"a","Num":-1}"#), Err(InvalidEvent("Num")));
    assert_eq!(gift(r#"{"Num":1}"#), Err(InvalidEvent("Id")));
}

#[test]
fn subscription_events_are_read() {
    let Event::SubscriptionPopup(popup) = vector("subscription choices, List is an array") else {
        panic!("another event");
    };
    let statuses: Vec<_> = popup.choices.iter().map(|choice| &choice.status).collect();
    assert_eq!(
        statuses,
        [&SubscriptionStatus::Accepted, &SubscriptionStatus::Rejected]
    );
    assert_eq!(popup.choices[0].popup_scene.as_deref(), Some("2"));
    let changed = vector("subscription changed, List is one object");
    let Event::SubscriptionChange(change) = changed else {
        panic!("another event");
    };
    assert_eq!(change.choices.len(), 1);
    let Event::SubscriptionSent(sent) = vector("message sent") else {
        panic!("another event");
    };
    assert_eq!(sent.messages[0].message_id, "1700827132819554304");
    assert_eq!((sent.messages[0].error_code, sent.messages.len()), (0, 1));
}

#[test]
fn subscription_events_are_wrapped_in_xml() {
    let xml = "<xml><FromUserName>oA</FromUserName><Event>subscribe_msg_popup_event</Event>\
               <SubscribeMsgPopupEvent><List><TemplateId>t1</TemplateId><SubscribeStatusString>accept\
               </SubscribeStatusString><PopupScene>0</PopupScene></List><List><TemplateId>t2</TemplateId>\
               <SubscribeStatusString>ban</SubscribeStatusString></List></SubscribeMsgPopupEvent></xml>";
    let Event::SubscriptionPopup(popup) = event(xml) else {
        panic!("another event");
    };
    assert_eq!(popup.choices.len(), 2);
    let other = SubscriptionStatus::Other("ban".to_owned());
    assert_eq!(popup.choices[1].status, other);
}

#[test]
fn personal_data_events_name_the_player_as_openid() {
    // One documented sample has blanks in its names.
    let body = |name: &str| {
        format!(
            r#"{{"ToUserName":"gh_1","FromUserName":"oOfficial","CreateTime":1790000300,"MsgType":"event","Event":"{name}"," OpenID":"oPlayer","AppID":"wx0123456789abcdef","UnionID":"oUnion","RevokeInfo":"301"}}"#
        )
    };
    let Event::UserInfoModified(modified) = event(&body("user_info_modified")) else {
        panic!("another event");
    };
    assert_eq!(modified.open_id.as_str(), "oPlayer");
    let Event::AuthorizationRevoked(revoked) = event(&body("user_authorization_revoke")) else {
        panic!("another event");
    };
    assert_eq!(
        (revoked.open_id.as_str(), revoked.revoke_info.as_deref()),
        ("oPlayer", Some("301"))
    );
    let cancelled = event(&body("user_authorization_cancellation"));
    let Event::AccountCancelled(cancelled) = cancelled else {
        panic!("another event");
    };
    assert_eq!(cancelled.union_id.unwrap().as_str(), "oUnion");
    let unnamed = r#"{"FromUserName":"oOfficial","Event":"user_authorization_cancellation"}"#;
    let invalid = open_plain(unnamed).unwrap().event();
    assert_eq!(invalid, Err(InvalidEvent("OpenID")));
}

#[test]
fn other_events_are_read() {
    let media = r#"{"Event":"wxa_media_check","trace_id":"t1","errcode":0,"result":{"suggest":"risky","label":20002}}"#;
    let Event::MediaCheck(media) = event(media) else {
        panic!("another event");
    };
    assert_eq!(
        (media.suggestion, media.label),
        (Some(MediaSuggestion::Risky), Some(20002))
    );
    let Event::PlatformNotice(notice) = event(r#"{"Event":"minigame_notify_msg","Title":"标题"}"#)
    else {
        panic!("another event");
    };
    assert_eq!(notice.title.as_deref(), Some("标题"));
    let query =
        r#"{"Event":"query_challenge_reward","QueryReward":{"ToUserOpenid":"oA","ItemID":7}}"#;
    let Event::ChallengeQuery(query) = event(query) else {
        panic!("another event");
    };
    assert_eq!(query.item_id, "7");
}

#[test]
fn unknown_events_and_messages_are_representable() {
    let unknown = open(&plain(), &cases("plain")[5]).unwrap();
    assert_eq!(unknown.envelope.event.as_deref(), Some("some_new_event"));
    assert_eq!(unknown.event().unwrap(), Event::Unknown);
    let message = r#"{"MsgType":"text","FromUserName":"oA","Content":"hello","MsgId":1}"#;
    let push = open_plain(message).unwrap();
    assert_eq!(
        (push.kind(), push.event()),
        (EventKind::Unknown, Ok(Event::Unknown))
    );
    assert_eq!(push.kind().answer(), AnswerForm::Success);
    assert_eq!(EventKind::GiftPack.answer(), AnswerForm::ErrCode);
}
