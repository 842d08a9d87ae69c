//! `social.templates` and `social.messages`: subscribe messages.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use avalon_config::{Violation, rule, text};
use avalon_wechat::{MessageLanguage, MiniProgramState};
use jiff::tz::Offset;
use jiff::{Span, Timestamp, civil::Time};
use serde::{Deserialize, Serialize};

use super::{FieldError, FieldKind, FieldName, MessageError};

/// A template of subscribe messages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub struct Template {
    /// Our name for it.
    pub name: String,
    /// WeChat's id of it.
    pub id: String,
    /// Its fields, by name.
    pub fields: BTreeMap<FieldName, FieldKind>,
}

impl Template {
    /// Checks the fields of a message and cuts them to WeChat's lengths.
    ///
    /// # Errors
    /// The first field that is missing, unknown or invalid.
    pub fn accept(
        &self,
        data: &BTreeMap<String, String>,
    ) -> Result<BTreeMap<String, String>, FieldError> {
        let error = |field: &str, rule| FieldError {
            field: field.to_owned(),
            rule,
        };
        let known = |name: &String| self.fields.keys().any(|field| field.as_str() == name);
        if let Some(unknown) = data.keys().find(|name| !known(name)) {
            return Err(error(unknown, "is not a field of the template"));
        }
        let accept = |(name, kind): (&FieldName, &FieldKind)| {
            let name = name.as_str();
            let text = data.get(name).ok_or_else(|| error(name, "is missing"))?;
            let text = kind.accept(text).map_err(|rule| error(name, rule))?;
            Ok((name.to_owned(), text))
        };
        self.fields.iter().map(accept).collect()
    }
}

/// The configured templates.
#[derive(Debug, Clone, Default)]
pub struct Templates(Vec<Template>);

impl Templates {
    /// Wraps templates.
    pub fn new(templates: Vec<Template>) -> Self {
        Self(templates)
    }

    /// Finds a template by WeChat's id or our name.
    ///
    /// # Errors
    /// [`MessageError::UnknownTemplate`].
    pub fn find(&self, id: &str) -> Result<&Template, MessageError> {
        let found = self.0.iter().find(|it| it.id == id || it.name == id);
        found.ok_or(MessageError::UnknownTemplate)
    }
}

/// `social.messages`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub struct MessagesConfig {
    /// Beijing hours in which no message is sent; those of the time wait for its end.
    #[serde(
        deserialize_with = "text::optional",
        serialize_with = "print_quiet",
        skip_serializing_if = "Option::is_none"
    )]
    pub quiet_hours: Option<QuietHours>,
    /// Maximum number of messages that a player receives in 24 hours.
    pub per_day: u32,
    /// A message that waits for longer is not sent any more.
    #[serde(with = "text::duration")]
    pub max_age: Duration,
    /// The version of the game that a tap on a message opens.
    pub state: MiniProgramState,
    /// The language of the message's frame.
    pub language: MessageLanguage,
}

impl Default for MessagesConfig {
    fn default() -> Self {
        Self {
            quiet_hours: None,
            per_day: 10,
            max_age: Duration::from_secs(24 * 3600),
            state: MiniProgramState::Formal,
            language: MessageLanguage::SimplifiedChinese,
        }
    }
}

fn print_quiet<S: serde::Serializer>(
    quiet: &Option<QuietHours>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match quiet {
        Some(quiet) => serializer.collect_str(quiet),
        None => serializer.serialize_none(),
    }
}

impl MessagesConfig {
    /// Checks the rules of the section and of the templates.
    ///
    /// # Errors
    /// The first [`Violation`].
    pub fn check(&self, templates: &[Template]) -> Result<(), Violation> {
        let key = "social.templates";
        let distinct = |value: fn(&Template) -> &str| {
            let mut values: Vec<_> = templates.iter().map(value).collect();
            values.sort_unstable();
            values.windows(2).all(|two| two[0] != two[1])
        };
        let fits = |it: &Template| it.fields.iter().all(|(name, kind)| name.fits(*kind));
        rule(
            templates.iter().all(|it| {
                (1..=64).contains(&it.id.len())
                    && (1..=64).contains(&it.name.len())
                    && !it.fields.is_empty()
            }),
            key,
            "each needs a name and an id of 1 to 64 characters, and a field",
        )?;
        rule(
            distinct(|it| &it.id) && distinct(|it| &it.name),
            key,
            "must have distinct names and ids",
        )?;
        rule(
            templates.iter().all(fits),
            key,
            "the name of a field begins with its type, as in thing1 = \"thing\"",
        )?;
        rule(
            self.per_day > 0,
            "social.messages.per_day",
            "must be at least 1",
        )?;
        let max = Duration::from_secs(7 * 24 * 3600);
        rule(
            self.max_age >= Duration::from_secs(60) && self.max_age <= max,
            "social.messages.max_age",
            "must be between 1m and 7d",
        )
    }
}

/// Hours of the day in which no message is sent, such as `22:00-08:00`. Beijing time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuietHours {
    from: Time,
    to: Time,
}

/// China has one time zone and no summer time.
const BEIJING: Offset = Offset::constant(8);

impl QuietHours {
    /// Returns the earliest time from `now` on at which a message may be sent.
    pub fn end(self, now: Timestamp) -> Timestamp {
        let local = BEIJING.to_datetime(now);
        let time = local.time();
        let quiet = match self.from <= self.to {
            true => (self.from..self.to).contains(&time),
            false => time >= self.from || time < self.to,
        };
        if !quiet {
            return now;
        }
        let days = i64::from(time >= self.to);
        let end = local.date().to_datetime(self.to);
        end.checked_add(Span::new().days(days))
            .and_then(|end| BEIJING.to_timestamp(end))
            .unwrap_or(now)
    }
}

impl FromStr for QuietHours {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wanted = "must be two different times of day such as 22:00-08:00";
        let time = |text: &str| -> Option<Time> { text.trim().parse().ok() };
        let (from, to) = text.split_once('-').ok_or(wanted)?;
        let (from, to) = time(from).zip(time(to)).ok_or(wanted)?;
        if from == to {
            Err(wanted)
        } else {
            Ok(Self { from, to })
        }
    }
}

impl fmt::Display for QuietHours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (from, to) = (self.from.strftime("%H:%M"), self.to.strftime("%H:%M"));
        write!(f, "{from}-{to}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template() -> Template {
        let json =
            r#"{"name": "energy", "id": "t1", "fields": {"thing1": "thing", "time2": "time"}}"#;
        serde_json::from_str(json).unwrap()
    }

    fn data(fields: &[(&str, &str)]) -> BTreeMap<String, String> {
        let owned = |(name, text): &(&str, &str)| ((*name).to_owned(), (*text).to_owned());
        fields.iter().map(owned).collect()
    }

    #[test]
    fn message_has_exactly_the_fields_of_its_template() {
        let template = template();
        let good = data(&[("thing1", "体力已满"), ("time2", "15:01")]);
        assert_eq!(template.accept(&good), Ok(good));
        for (fields, named) in [
            (data(&[("thing1", "a")]), "time2"),
            (data(&[("thing1", "a"), ("time2", "later")]), "time2"),
            (
                data(&[("thing1", "a"), ("time2", "15:01"), ("thing3", "b")]),
                "thing3",
            ),
        ] {
            assert_eq!(template.accept(&fields).unwrap_err().field, named);
        }
    }

    #[test]
    fn quiet_hours_end_in_the_morning_of_beijing() {
        let quiet: QuietHours = "22:00-08:00".parse().unwrap();
        assert_eq!(quiet.to_string(), "22:00-08:00");
        for (now, end) in [
            // 21:59, 22:00, 07:59 and 08:00 in Beijing.
            ("2026-10-01T13:59:00Z", "2026-10-01T13:59:00Z"),
            ("2026-10-01T14:00:00Z", "2026-10-02T00:00:00Z"),
            ("2026-10-01T23:59:00Z", "2026-10-02T00:00:00Z"),
            ("2026-10-02T00:00:00Z", "2026-10-02T00:00:00Z"),
        ] {
            assert_eq!(
                quiet.end(now.parse().unwrap()),
                end.parse().unwrap(),
                "{now}"
            );
        }
        let noon: QuietHours = "12:00-14:30".parse().unwrap();
        let now = "2026-10-01T05:00:00Z".parse().unwrap();
        assert_eq!(noon.end(now), "2026-10-01T06:30:00Z".parse().unwrap());
        for odd in ["", "22:00", "22:00-22:00", "25:00-08:00"] {
            assert!(odd.parse::<QuietHours>().is_err(), "{odd}");
        }
    }

    #[test]
    fn templates_are_checked() {
        let check = |templates: &[Template]| {
            let checked = MessagesConfig::default().check(templates);
            checked.map_err(|violation| violation.key)
        };
        assert_eq!(check(&[template()]), Ok(()));
        assert_eq!(check(&[template(), template()]), Err("social.templates"));
        let mut odd = template();
        odd.fields
            .insert("name3".to_owned().try_into().unwrap(), FieldKind::Thing);
        assert_eq!(check(&[odd]), Err("social.templates"));
    }
}
