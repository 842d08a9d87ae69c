//! How an update changes a known profile. A pure function; the table in the tests is the rule.
//!
//! - An empty field never wins: the known value stays.
//! - A field without a known value takes the update's, whatever its source.
//! - Encrypted data wins over raw data: it names its app and time, raw data could be old.
//! - Of the same source, the later timestamp wins; of the same time, the one received later.
//! - A refused nickname counts as empty.
//! - A unionid is stored if none is known. One from a sign-in comes directly from WeChat and stays; raw
//!   data never has one.

use avalon_wechat::UnionId;
use jiff::Timestamp;
use strum::{EnumString, IntoStaticStr};

use super::Fields;

/// How WeChat authenticates a profile. The names are stored.
#[derive(Clone, Copy, Debug, EnumString, IntoStaticStr, PartialEq, Eq, PartialOrd, Ord)]
#[strum(serialize_all = "snake_case")]
pub enum Source {
    /// Plain text with a signature, which covers neither app nor time.
    Raw,
    /// Encrypted, with a watermark of app and time.
    Encrypted,
}

/// Precedence of an update: the greater one wins.
pub type Standing = (Source, Timestamp);

/// The known profile of a player.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// The checked fields.
    pub fields: Fields,
    /// Source and time of the last update.
    pub standing: Option<Standing>,
    /// WeChat's id of the player across apps.
    pub union_id: Option<UnionId>,
    /// A nickname that must not be shown.
    pub refused_nickname: Option<String>,
}

/// An update of a profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update {
    /// The checked fields.
    pub fields: Fields,
    /// Source and time: that of the watermark, or when raw data was received.
    pub standing: Standing,
    /// WeChat's id of the player across apps; only in encrypted data.
    pub union_id: Option<UnionId>,
}

/// Returns the profile after the update, or `None` if it changes nothing.
pub fn merge(known: &Known, mut update: Update) -> Option<Known> {
    if update.fields.nickname.is_some() && update.fields.nickname == known.refused_nickname {
        update.fields.nickname = None;
    }
    let mut after = known.clone();
    if !update.fields.is_empty() {
        let wins = known.standing.is_none_or(|known| update.standing >= known);
        if wins {
            after.standing = Some(update.standing);
        }
        apply(&mut after.fields, update.fields, wins);
    }
    if after.union_id.is_none() && update.standing.0 == Source::Encrypted {
        after.union_id = update.union_id;
    }
    (after != *known).then_some(after)
}

/// Fills unknown fields, and replaces known ones if the update wins.
fn apply(known: &mut Fields, update: Fields, wins: bool) {
    fn one<T>(known: &mut Option<T>, update: Option<T>, wins: bool) {
        if update.is_some() && (wins || known.is_none()) {
            *known = update;
        }
    }
    let Fields {
        nickname,
        avatar_url,
        gender,
        country,
        province,
        city,
        language,
    } = update;
    one(&mut known.nickname, nickname, wins);
    one(&mut known.avatar_url, avatar_url, wins);
    one(&mut known.gender, gender, wins);
    one(&mut known.country, country, wins);
    one(&mut known.province, province, wins);
    one(&mut known.city, city, wins);
    one(&mut known.language, language, wins);
}

#[cfg(test)]
mod tests {
    use super::Source::{Encrypted, Raw};
    use super::*;

    #[test]
    fn names_of_sources_read_back() {
        for (source, name) in [(Raw, "raw"), (Encrypted, "encrypted")] {
            assert_eq!(<&str>::from(source), name);
            assert_eq!(name.parse::<Source>().unwrap(), source);
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn fields(name: &str, city: &str) -> Fields {
        let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        Fields {
            nickname: text(name),
            city: text(city),
            ..Fields::default()
        }
    }

    fn update(source: Source, second: i64, name: &str, city: &str) -> Update {
        Update {
            fields: fields(name, city),
            standing: (source, at(second)),
            union_id: None,
        }
    }

    fn known(source: Source, second: i64, name: &str, city: &str) -> Known {
        merge(&Known::default(), update(source, second, name, city)).unwrap()
    }

    #[test]
    fn precedence_table() {
        type Row = (Source, i64, &'static str, &'static str);
        // Known profile, update, and result, each with its standing.
        let table: [(Row, Row, Row); 13] = [
            // Newer over older, of the same source.
            (
                (Encrypted, 5, "old", ""),
                (Encrypted, 6, "new", ""),
                (Encrypted, 6, "new", ""),
            ),
            (
                (Encrypted, 5, "new", ""),
                (Encrypted, 4, "old", ""),
                (Encrypted, 5, "new", ""),
            ),
            (
                (Raw, 5, "old", ""),
                (Raw, 6, "new", ""),
                (Raw, 6, "new", ""),
            ),
            (
                (Raw, 5, "new", ""),
                (Raw, 4, "old", ""),
                (Raw, 5, "new", ""),
            ),
            // Of the same time, the one received later.
            (
                (Encrypted, 5, "one", ""),
                (Encrypted, 5, "two", ""),
                (Encrypted, 5, "two", ""),
            ),
            // Encrypted over raw, whatever the times.
            (
                (Raw, 9, "raw", ""),
                (Encrypted, 5, "sure", ""),
                (Encrypted, 5, "sure", ""),
            ),
            (
                (Encrypted, 5, "sure", ""),
                (Raw, 9, "raw", ""),
                (Encrypted, 5, "sure", ""),
            ),
            // Empty fields never win.
            (
                (Encrypted, 5, "name", "city"),
                (Encrypted, 6, "", ""),
                (Encrypted, 5, "name", "city"),
            ),
            (
                (Encrypted, 5, "name", "city"),
                (Encrypted, 6, "new", ""),
                (Encrypted, 6, "new", "city"),
            ),
            (
                (Raw, 5, "name", "city"),
                (Encrypted, 6, "", "town"),
                (Encrypted, 6, "name", "town"),
            ),
            // Unknown fields are filled by any update.
            (
                (Encrypted, 5, "name", ""),
                (Raw, 9, "raw", "city"),
                (Encrypted, 5, "name", "city"),
            ),
            (
                (Encrypted, 5, "name", ""),
                (Encrypted, 4, "old", "city"),
                (Encrypted, 5, "name", "city"),
            ),
            // A repeated update.
            (
                (Encrypted, 5, "name", "city"),
                (Encrypted, 5, "name", "city"),
                (Encrypted, 5, "name", "city"),
            ),
        ];
        for (before, new, after) in table {
            let of = |(source, second, name, city): Row| known(source, second, name, city);
            let (source, second, name, city) = new;
            let known = of(before);
            let merged = merge(&known, update(source, second, name, city)).unwrap_or(known);
            assert_eq!(merged, of(after), "{before:?} then {new:?}");
            // A repeated update changes nothing.
            assert_eq!(merge(&merged, update(source, second, name, city)), None);
        }
    }

    #[test]
    fn empty_update_changes_nothing() {
        assert_eq!(merge(&Known::default(), update(Encrypted, 5, "", "")), None);
    }

    #[test]
    fn empty_update_does_not_block_an_older_one() {
        let known = known(Encrypted, 5, "old", "");
        assert_eq!(merge(&known, update(Encrypted, 9, "", "")), None);
        let merged = merge(&known, update(Encrypted, 7, "new", "")).unwrap();
        assert_eq!(merged.fields.nickname.as_deref(), Some("new"));
    }

    #[test]
    fn refused_nickname_is_ignored_but_another_is_stored() {
        let known = Known {
            refused_nickname: Some("rude".to_owned()),
            ..known(Encrypted, 5, "", "city")
        };
        let again = merge(&known, update(Encrypted, 6, "rude", "town")).unwrap();
        assert_eq!(again.fields, fields("", "town"));
        let another = merge(&known, update(Encrypted, 6, "kind", "")).unwrap();
        assert_eq!(another.fields, fields("kind", "city"));
    }

    #[test]
    fn unionid_is_stored_from_encrypted_data_if_unknown() {
        let with = |source: Source, id: &str| Update {
            union_id: Some(UnionId::new(id)),
            ..update(source, 9, "name", "")
        };
        let without = known(Encrypted, 5, "name", "");
        let stored = merge(&without, with(Encrypted, "oU1")).unwrap();
        assert_eq!(stored.union_id, Some(UnionId::new("oU1")));
        let raw = merge(&known(Raw, 5, "name", ""), with(Raw, "oU1")).unwrap();
        assert_eq!(raw.union_id, None);
        let later = merge(&stored, with(Encrypted, "oU2")).unwrap_or(stored);
        assert_eq!(later.union_id, Some(UnionId::new("oU1")));
    }
}
