//! The fields of a JSON body, each of its right type or refused with 47001.

use serde_json::{Map, Value};

use crate::players::{Players, is_openid};
use crate::wire::errcode;

/// The fields of a body.
#[derive(Clone, Copy)]
pub(crate) struct Fields<'a>(pub(crate) &'a Map<String, Value>);

impl<'a> Fields<'a> {
    fn get<T>(&self, name: &str, read: impl Fn(&'a Value) -> Option<T>) -> Result<Option<T>, i64> {
        match self.0.get(name) {
            None => Ok(None),
            Some(value) => read(value).map(Some).ok_or(errcode::NOT_JSON),
        }
    }

    /// A text; one that is empty is as good as none.
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

    pub(crate) fn list(&self, name: &str) -> Result<Option<&'a Vec<Value>>, i64> {
        self.get(name, Value::as_array)
    }

    /// `openid`, of the shape that openids of this app have.
    pub(crate) fn openid(&self) -> Result<&'a str, i64> {
        let openid = self.text("openid")?.ok_or(errcode::INVALID_OPENID)?;
        if is_openid(openid) {
            Ok(openid)
        } else {
            Err(errcode::INVALID_OPENID)
        }
    }

    /// `scene`, one of these.
    pub(crate) fn scene(&self, known: std::ops::RangeInclusive<i64>) -> Result<i64, i64> {
        self.int("scene")?
            .filter(|scene| known.contains(scene))
            .ok_or(errcode::INVALID_SCENE)
    }
}

/// Refuses a player who was not in the game lately.
pub(crate) fn demand_active(
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
