//! `POST /wxa/msg_sec_check` and its variant for games: texts are checked against the configured
//! words; without any, all pass.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::fields::{Fields, require_active};
use super::ingress::{Api, Call, Verb};
use crate::state::{State, World};
use crate::wire::errcode;

const MAX_CHARS: usize = 2500;

pub(crate) const GENERAL: Api = Api {
    name: "msg_sec_check",
    path: "/wxa/msg_sec_check",
    method: Verb::Post,
    requires_token: true,
    run: general,
};

pub(crate) const GAME: Api = Api {
    name: "game_msg_sec_check",
    path: "/wxa/game/content_spam/msg_sec_check",
    method: Verb::Post,
    requires_token: true,
    run: game,
};

/// A word and the verdict on texts that contain it.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Word {
    pub(crate) word: String,
    #[serde(default)]
    suggest: Suggest,
    #[serde(default = "default_label")]
    label: i64,
}

#[derive(Clone, Copy, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Suggest {
    Review,
    #[default]
    Risky,
}

const fn default_label() -> i64 {
    21000
}

fn general(_: &World, state: &mut State, call: &Call<'_>) -> Result<Value, i64> {
    let body = call.body;
    let Some(version) = body.int("version")? else {
        return version_1(state, body);
    };
    if version != 2 {
        return Err(errcode::INVALID_ARGUMENTS);
    }
    let openid = body.openid()?;
    let scene = body.scene(1..=4)?;
    let content = content(body)?;
    let mut texts = vec![content];
    texts.extend(body.text("title")?);
    texts.extend(body.text("nickname")?);
    match body.text("signature")? {
        Some(_) if scene != 1 => return Err(errcode::INVALID_ARGUMENTS),
        signature => texts.extend(signature),
    }
    require_active(&state.players, openid, call.now)?;
    let word = find_word(&state.platform.words, &texts);
    Ok(verdict(word, "content_model", call))
}

fn version_1(state: &State, body: Fields<'_>) -> Result<Value, i64> {
    match find_word(&state.platform.words, &[content(body)?]) {
        Some(_) => Err(errcode::RISKY_CONTENT),
        None => Ok(json!({"errcode": 0, "errmsg": "ok"})),
    }
}

fn game(_: &World, state: &mut State, call: &Call<'_>) -> Result<Value, i64> {
    let body = call.body;
    if body.int("version")? != Some(2) {
        return Err(errcode::GAME_TEXT_VERSION);
    }
    body.openid()?;
    body.scene(1..=5)?;
    let content = content(body)?;
    let mut texts = vec![content];
    texts.extend(body.text("nickname")?);
    let words = &state.platform.words;
    let mut answer = verdict(find_word(words, &texts), "minigame_content_model", call);
    let masked = words.iter().fold(content.to_owned(), |text, word| {
        text.replace(&word.word, &"*".repeat(word.word.chars().count()))
    });
    answer["result"]["replaced_content"] = masked.into();
    Ok(answer)
}

fn content<'a>(body: Fields<'a>) -> Result<&'a str, i64> {
    let content = body.text("content")?.ok_or(errcode::NOT_JSON)?;
    if content.chars().count() > MAX_CHARS {
        return Err(errcode::TOO_LONG);
    }
    Ok(content)
}

fn find_word<'w>(words: &'w [Word], texts: &[&str]) -> Option<&'w Word> {
    words
        .iter()
        .find(|word| texts.iter().any(|text| text.contains(&word.word)))
}

fn verdict(word: Option<&Word>, model: &str, call: &Call<'_>) -> Value {
    let (suggest, label) = match word {
        Some(word) => (json!(word.suggest), word.label),
        None => (json!("pass"), 100),
    };
    let mut detail = vec![json!({
        "strategy": model, "errcode": 0, "suggest": suggest, "label": label, "prob": 90,
    })];
    if let Some(word) = word {
        detail.push(json!({
            "strategy": "keyword", "errcode": 0, "suggest": suggest, "label": label,
            "level": 20, "keyword": word.word,
        }));
    }
    json!({
        "errcode": 0,
        "errmsg": "ok",
        "trace_id": format!("{:032x}", call.now.as_nanosecond()),
        "result": {"suggest": suggest, "label": label},
        "detail": detail,
    })
}
