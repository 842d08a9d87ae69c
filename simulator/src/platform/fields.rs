//! Typed access to the fields of a JSON body; a wrong type is rejected with 47001.

use serde_json::{Map, Value};

use crate::players::{Players, is_openid};
use crate::wire::errcode;

/// The fields of a request body.
#[derive(Clone, Copy)]
pub(crate) struct Fields<'a>(pub(crate) &'a Map<String, Value>);

impl<'a> Fields<'a> {
    fn get<T>(&self, name: &str, read: impl Fn(&'a Value) -> Option<T>) -> Result<Option<T>, i64> {
        match self.0.get(name) {
            None => Ok(None),
            Some(value) => read(value).map(Some).ok_or(errcode::NOT_JSON),
        }
    }

    /// Returns a string; an empty one counts as absent.
    pub(crate) fn text(&self, name: &str) -> Result<Option<&'a str>, i64> {
        let text = self.get(name, Value::as_str)?;
        Ok(text.filter(|text| !text.is_empty()))
    }

    pub(crate) fn int(&self, name: &str) -> Result<Option<i64>, i64> {
        self.get(name, Value::as_i64)
    }

    pub(crate) fn bool(&self, name: &str) -> Result<Option<bool>, i64> {
        self.get(name, Value::as_bool)
    }

    pub(crate) fn object(&self, name: &str) -> Result<Option<&'a Map<String, Value>>, i64> {
        self.get(name, Value::as_object)
    }

    pub(crate) fn list(&self, name: &str) -> Result<Option<&'a Vec<Value>>, i64> {
        self.get(name, Value::as_array)
    }

    /// Returns `openid`, which must be well-formed.
    pub(crate) fn openid(&self) -> Result<&'a str, i64> {
        let openid = self.text("openid")?.ok_or(errcode::INVALID_OPENID)?;
        if is_openid(openid) {
            Ok(openid)
        } else {
            Err(errcode::INVALID_OPENID)
        }
    }

    /// Returns `scene`, which must be one of `known`.
    pub(crate) fn scene(&self, known: std::ops::RangeInclusive<i64>) -> Result<i64, i64> {
        self.int("scene")?
            .filter(|scene| known.contains(scene))
            .ok_or(errcode::INVALID_SCENE)
    }
}

/// Rejects a player who was not active recently.
pub(crate) fn require_active(
    players: &Players,
    openid: &str,
    now: jiff::Timestamp,
) -> Result<(), i64> {
    if players.is_active(openid, now) {
        Ok(())
    } else {
        Err(errcode::PLAYER_INACTIVE)
    }
}
