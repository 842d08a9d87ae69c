//! What wins when a profile is told anew. A pure function; the table in the tests is the rule.
//!
//! - What is empty never wins: a field that says nothing leaves what is known.
//! - A field of which nothing is known takes what is said, whoever says it.
//! - Encrypted data win over raw data: they name their app and time, raw data could be old.
//! - Of the same kind, the later telling wins; of the same time, the one that comes in later.
//! - A nickname that was refused says nothing.
//! - A unionid is taken when none is known. One that a sign-in brought comes from WeChat itself, over a
//!   channel of its own, and stays; raw data never bring one.

use avalon_wechat::UnionId;
use jiff::Timestamp;
use strum::{EnumString, IntoStaticStr};

use super::Fields;

/// How WeChat vouches for a profile.
/// The names are stored.
#[derive(Clone, Copy, Debug, EnumString, IntoStaticStr, PartialEq, Eq, PartialOrd, Ord)]
#[strum(serialize_all = "snake_case")]
pub enum Source {
    /// In the open, with a signature that says nothing of app and time.
    Raw,
    /// Encrypted, with a watermark.
    Encrypted,
}

/// How good a telling is: the greater one wins.
pub type Standing = (Source, Timestamp);

/// What is known of a player.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// The profile.
    pub fields: Fields,
    /// What it was last brought up to date by, and of when that was.
    pub standing: Option<Standing>,
    /// The player across apps.
    pub union_id: Option<UnionId>,
    /// A nickname that is not to be shown.
    pub refused_nickname: Option<String>,
}

/// What is told of a player.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update {
    /// The profile.
    pub fields: Fields,
    /// Who vouches for it, and since when: the watermark's time, or when raw data came in.
    pub standing: Standing,
    /// The player across apps; only encrypted data can know.
    pub union_id: Option<UnionId>,
}

/// What is known after the update, or `None` when it brings nothing new.
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
        take(&mut after.fields, update.fields, wins);
    }
    if after.union_id.is_none() && update.standing.0 == Source::Encrypted {
        after.union_id = update.union_id;
    }
    (after != *known).then_some(after)
}

/// Fills what is not known, and replaces what is when the update wins.
fn take(known: &mut Fields, told: Fields, wins: bool) {
    fn one<T>(known: &mut Option<T>, told: Option<T>, wins: bool) {
        if told.is_some() && (wins || known.is_none()) {
            *known = told;
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
    } = told;
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
    fn what_wins_when() {
        type Telling = (Source, i64, &'static str, &'static str);
        // What is known, what is told, and what is known then, with its standing.
        let table: [(Telling, Telling, Telling); 13] = [
            // Newer over older, of the same kind.
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
            // Of the same time, what comes in later.
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
            // What is empty never wins.
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
            // What is not known is filled, also by who does not win.
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
            // The same again.
            (
                (Encrypted, 5, "name", "city"),
                (Encrypted, 5, "name", "city"),
                (Encrypted, 5, "name", "city"),
            ),
        ];
        for (before, told, after) in table {
            let of = |(source, second, name, city): Telling| known(source, second, name, city);
            let (source, second, name, city) = told;
            let known = of(before);
            let merged = merge(&known, update(source, second, name, city)).unwrap_or(known);
            assert_eq!(merged, of(after), "{before:?} then {told:?}");
            // Telling it again changes nothing.
            assert_eq!(merge(&merged, update(source, second, name, city)), None);
        }
    }

    #[test]
    fn nothing_told_is_nothing_new() {
        assert_eq!(merge(&Known::default(), update(Encrypted, 5, "", "")), None);
    }

    #[test]
    fn an_empty_telling_does_not_hold_off_one_that_is_under_way() {
        let known = known(Encrypted, 5, "old", "");
        assert_eq!(merge(&known, update(Encrypted, 9, "", "")), None);
        let merged = merge(&known, update(Encrypted, 7, "new", "")).unwrap();
        assert_eq!(merged.fields.nickname.as_deref(), Some("new"));
    }

    #[test]
    fn a_refused_nickname_is_not_taken_again_and_another_is() {
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
    fn a_unionid_is_taken_from_encrypted_data_when_none_is_known() {
        let with = |source: Source, id: &str| Update {
            union_id: Some(UnionId::new(id)),
            ..update(source, 9, "name", "")
        };
        let nobody = known(Encrypted, 5, "name", "");
        let taken = merge(&nobody, with(Encrypted, "oU1")).unwrap();
        assert_eq!(taken.union_id, Some(UnionId::new("oU1")));
        let raw = merge(&known(Raw, 5, "name", ""), with(Raw, "oU1")).unwrap();
        assert_eq!(raw.union_id, None);
        let kept = merge(&taken, with(Encrypted, "oU2")).unwrap_or(taken);
        assert_eq!(kept.union_id, Some(UnionId::new("oU1")));
    }
}
