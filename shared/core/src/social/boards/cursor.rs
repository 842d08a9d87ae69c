//! Where a page of a board begins, as clients send it back.

use super::index::Position;
use super::names::WindowKey;

/// Where a page begins: after an entry of a window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    pub(super) window: WindowKey,
    pub(super) after: After,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    Place(Position),
    Rank(i64),
}

impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let window = &self.window;
        match &self.after {
            After::Rank(rank) => write!(f, "{window}.{rank}"),
            After::Place(Position {
                sort_key,
                reached_at,
                user,
            }) => write!(f, "{window}.{sort_key}.{reached_at}.{user}"),
        }
    }
}

/// A text is not a cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not one that was issued")]
pub struct InvalidCursor;

impl std::str::FromStr for Cursor {
    type Err = InvalidCursor;

    fn from_str(text: &str) -> Result<Self, InvalidCursor> {
        let parts: Vec<&str> = text.split('.').collect();
        let number = |text: &str| text.parse().map_err(|_| InvalidCursor);
        let (window, after) = match parts[..] {
            [window, rank] => (window, After::Rank(number(rank)?)),
            [window, sort_key, reached_at, user] => (
                window,
                After::Place(Position {
                    sort_key: number(sort_key)?,
                    reached_at: number(reached_at)?,
                    user: user.parse().map_err(|_| InvalidCursor)?,
                }),
            ),
            _ => return Err(InvalidCursor),
        };
        let window = window.parse().map_err(|_| InvalidCursor)?;
        Ok(Self { window, after })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::UserId;

    #[test]
    fn cursors_read_back_and_others_are_refused() {
        let user = UserId::new();
        for cursor in [
            format!("2026-W48.-12.1764000000000.{user}"),
            "all.100".to_owned(),
        ] {
            let read: Cursor = cursor.parse().unwrap();
            assert_eq!(read.to_string(), cursor);
        }
        for odd in [
            "",
            "all",
            "all.x",
            "a b.1",
            "all.1.2",
            "all.1.2.3",
            "all.1.2.3.4",
        ] {
            assert_eq!(odd.parse::<Cursor>(), Err(InvalidCursor), "{odd}");
        }
    }
}
