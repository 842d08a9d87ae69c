//! `POST /cgi-bin/message/subscribe/send`: a subscribe message. Fields are checked by the type in their names; a text
//! with a word set by the control route is sensitive.

use serde_json::{Map, Value, json};

use super::ingress::{Api, Call, Verb};
use super::subscriptions::SentMessage;
use crate::state::{State, World};
use crate::wire::errcode;

pub(crate) const API: Api = Api {
    name: "subscribe_send",
    path: "/cgi-bin/message/subscribe/send",
    method: Verb::Post,
    requires_token: true,
    run,
};

fn run(_: &World, state: &mut State, call: &Call<'_>) -> Result<Value, i64> {
    let body = call.body;
    let openid = body.text("touser")?.ok_or(errcode::INVALID_OPENID)?;
    if state.players.get(openid).is_none() {
        return Err(errcode::INVALID_OPENID);
    }
    let template_id = body.text("template_id")?.ok_or(errcode::UNKNOWN_TEMPLATE)?;
    let version = body.text("miniprogram_state")?;
    if !matches!(version, Some("formal" | "trial" | "developer")) {
        return Err(errcode::INVALID_ARGUMENTS);
    }
    let data = body.object("data")?.ok_or(errcode::INVALID_DATA)?;
    for (name, field) in data {
        let text = field["value"].as_str().ok_or(errcode::INVALID_DATA)?;
        if !is_valid(name, text) {
            return Err(errcode::INVALID_DATA);
        }
        if state
            .platform
            .words
            .iter()
            .any(|word| text.contains(&word.word))
        {
            return Err(errcode::SENSITIVE_MESSAGE);
        }
    }
    let subscriptions = &mut state.platform.subscriptions;
    let msgid = subscriptions.send(SentMessage {
        msgid: subscriptions.next_id(),
        openid: openid.to_owned(),
        template_id: template_id.to_owned(),
        data: Map::clone(data),
        page: body.text("page")?.map(str::to_owned),
        at: call.now,
    })?;
    Ok(json!({"errcode": 0, "errmsg": "ok", "msgid": msgid}))
}

/// Whether a value fits the type in the name of its field.
fn is_valid(name: &str, text: &str) -> bool {
    let kind = name.trim_end_matches(|c: char| c.is_ascii_digit());
    let count = text.chars().count();
    if text.is_empty() || kind == name || text.chars().any(char::is_control) {
        return false;
    }
    let digits = |max: usize| {
        text.chars().filter(char::is_ascii_digit).count() <= max
            && text
                .chars()
                .all(|c| c.is_ascii_digit() || "+-.,¥￥$元".contains(c))
    };
    match kind {
        "thing" => count <= 20,
        "number" => digits(32),
        "letter" => count <= 32 && text.chars().all(|c| c.is_ascii_alphabetic()),
        "symbol" => count <= 5,
        "character_string" => count <= 32 && text.is_ascii(),
        "time" | "date" => text.chars().any(|c| c.is_ascii_digit()),
        "amount" => digits(10),
        "phone_number" => count <= 17,
        "car_number" => count <= 8,
        "name" if text.is_ascii() => count <= 20,
        "name" => count <= 10,
        "phrase" => count <= 5 && !text.is_ascii(),
        "enum" => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_checked_by_type() {
        for (name, good) in [
            ("thing1", "体力已满"),
            ("number2", "12.5"),
            ("time3", "15:01"),
            ("phrase4", "配送中"),
        ] {
            assert!(is_valid(name, good), "{name}");
        }
        for (name, odd) in [
            ("thing", "a"),
            ("thing1", "a\nb"),
            ("thing1", &"x".repeat(21)),
            ("number2", "many"),
            ("phrase4", "ok"),
            ("other5", "x"),
        ] {
            assert!(!is_valid(name, odd), "{name}");
        }
    }
}
