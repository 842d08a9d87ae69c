//! Typed access to the parameters of a call: a missing one or a wrong type is 90018, and the message names
//! the parameter.

use serde_json::{Map, Value};

use super::ingress::Refusal;

/// The parameters of a call.
#[derive(Clone, Copy)]
pub(crate) struct Fields<'a>(pub(crate) &'a Map<String, Value>);

impl<'a> Fields<'a> {
    pub(crate) fn text(self, name: &'static str) -> Result<&'a str, Refusal> {
        self.optional_text(name)?
            .ok_or(Refusal::parameter(name, "is missing"))
    }

    pub(crate) fn optional_text(self, name: &'static str) -> Result<Option<&'a str>, Refusal> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(Refusal::parameter(name, "is not a string")),
        }
    }

    pub(crate) fn int(self, name: &'static str) -> Result<i64, Refusal> {
        self.optional_int(name)?
            .ok_or(Refusal::parameter(name, "is missing"))
    }

    pub(crate) fn optional_int(self, name: &'static str) -> Result<Option<i64>, Refusal> {
        match self.0.get(name) {
            None => Ok(None),
            Some(value) => match value.as_i64() {
                Some(number) => Ok(Some(number)),
                None => Err(Refusal::parameter(name, "is not an integer")),
            },
        }
    }

    /// Returns a positive amount of coins.
    pub(crate) fn amount(self) -> Result<i64, Refusal> {
        match self.int("amount")? {
            amount @ 1..=2_147_483_647 => Ok(amount),
            _ => Err(Refusal::parameter("amount", "is invalid")),
        }
    }

    /// Returns a bill number: at most 63 of `0-9 A-Z a-z _ -`, without a leading underscore.
    pub(crate) fn bill_no(self, name: &'static str) -> Result<&'a str, Refusal> {
        let text = self.text(name)?;
        let is_valid = (1..=63).contains(&text.len())
            && !text.starts_with('_')
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
        match is_valid {
            true => Ok(text),
            false => Err(Refusal::parameter(name, "is invalid")),
        }
    }

    /// Checks that `user_ip` is an address.
    pub(crate) fn user_ip(self) -> Result<(), Refusal> {
        let ip = self.text("user_ip")?;
        match ip.parse::<std::net::IpAddr>() {
            Ok(_) => Ok(()),
            Err(_) => Err(Refusal::parameter("user_ip", "is invalid")),
        }
    }
}
