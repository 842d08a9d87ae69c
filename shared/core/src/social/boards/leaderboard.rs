//! Reading a board: pages, the surroundings of a player, windows that have ended, groups.

use jiff::Timestamp;
use serde::Serialize;
use sqlx::Row;
use utoipa::ToSchema;

use super::entries::{self, Entry, Ranked};
use super::error::BoardError;
use super::index::{Change, Position, Start, View, ViewRequest, centred};
use super::names::{BoardName, WindowId, WindowKey};
use super::settings::Board;
use super::windows::{self, WindowRow, WindowState};
use super::{Boards, groups, held, sync, table};
use crate::base::ids::UserId;

/// Which part of a board is read.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// Maximum number of entries.
    pub limit: u64,
    /// Where the page begins; none: at the top.
    pub cursor: Option<Cursor>,
    /// Whether the page is around the player.
    pub around_me: bool,
    /// The window; none: the current one.
    pub window: Option<WindowKey>,
    /// Only the members of this group.
    pub group: Option<String>,
}

/// Where a page begins: after an entry of a window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    window: WindowKey,
    after: After,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum After {
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

/// A part of a board.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Leaderboard {
    /// The board.
    #[schema(value_type = String)]
    pub board: BoardName,
    /// The window.
    #[schema(value_type = String)]
    pub window: WindowKey,
    /// In the order of their ranks.
    pub entries: Vec<Entry>,
    /// The player's own entry; null without a score.
    pub me: Option<Entry>,
    /// Where the next page begins; null at the end.
    pub next_cursor: Option<String>,
}

/// A player's place on an open window, as the player sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Own {
    pub(super) score: i64,
    pub(super) place: Position,
}

/// What a page has in common with any other.
struct Page {
    before: u64,
    ranked: Vec<Ranked>,
    me: Option<Ranked>,
    next: Option<After>,
}

impl Boards {
    /// Reads a part of a board for a player.
    ///
    /// # Errors
    /// [`BoardError`].
    pub async fn leaderboard(
        &self,
        name: &BoardName,
        user: UserId,
        query: &Query,
        now: Timestamp,
    ) -> Result<Leaderboard, BoardError> {
        let board = self.definitions.get(name).await?;
        if let Some(group) = &query.group {
            groups::require_member(&self.database, group, user, now).await?;
        }
        let (key, row) = self.find_window(&board, query, now).await?;
        let page = match &row {
            None => Page {
                before: 0,
                ranked: Vec::new(),
                me: None,
                next: None,
            },
            Some(row) if row.state == WindowState::Open => {
                self.open_page(&board, row, user, query, now).await?
            }
            Some(row) => self.archived_page(row, user, query, now).await?,
        };
        let mut ranked = page.ranked;
        ranked.extend(page.me);
        let mut entries = entries::with_profiles(&self.database, &ranked, Some(user)).await?;
        let me = page.me.and_then(|_| entries.pop());
        let next = page.next.filter(|_| !entries.is_empty() || page.before > 0);
        let next = next.map(|after| Cursor {
            window: key.clone(),
            after,
        });
        Ok(Leaderboard {
            board: name.clone(),
            window: key,
            entries,
            me,
            next_cursor: next.map(|cursor| cursor.to_string()),
        })
    }

    /// The window that is read, and its row if it has scores.
    async fn find_window(
        &self,
        board: &Board,
        query: &Query,
        now: Timestamp,
    ) -> Result<(WindowKey, Option<WindowRow>), BoardError> {
        let asked = query.window.clone();
        let asked = asked.or_else(|| query.cursor.as_ref().map(|cursor| cursor.window.clone()));
        let shown = board.shown_at(now).map(|window| window.key);
        let season = |key: &WindowKey| board.seasons.iter().any(|(name, ..)| name == key);
        let known = asked
            .as_ref()
            .is_none_or(|key| Some(key) == shown.as_ref() || season(key));
        let key = asked.or(shown).ok_or(BoardError::UnknownWindow)?;
        let row = windows::find(&self.database, &board.id(key.clone())).await?;
        match row {
            None if !known => Err(BoardError::UnknownWindow),
            row => Ok((key, row)),
        }
    }

    async fn open_page(
        &self,
        board: &Board,
        row: &WindowRow,
        user: UserId,
        query: &Query,
        now: Timestamp,
    ) -> Result<Page, BoardError> {
        let own = self.own(board, row, user).await?;
        let after = query.cursor.as_ref().and_then(|cursor| match cursor.after {
            After::Place(place) => Some(place),
            After::Rank(_) => None,
        });
        let start = match (query.around_me, own, after) {
            (true, Some(own), _) => Start::Around(own.place),
            (_, _, Some(place)) => Start::After(place),
            _ => Start::Top,
        };
        let request = ViewRequest {
            start,
            limit: query.limit,
            counted: own.map(|own| own.place).into_iter().collect(),
        };
        let view = match &query.group {
            None => self.view(&row.id, &request, now).await?,
            Some(group) => {
                let members = groups::places(&self.database, &row.id, group, now).await?;
                view_of(&members, &request)
            }
        };
        let shown = board.settings.size.map_or(u64::MAX, u64::from);
        Ok(page_of(&view, own, shown, row.descending))
    }

    async fn archived_page(
        &self,
        row: &WindowRow,
        user: UserId,
        query: &Query,
        now: Timestamp,
    ) -> Result<Page, BoardError> {
        let after = query.cursor.as_ref().and_then(|cursor| match cursor.after {
            After::Rank(rank) => u64::try_from(rank).ok(),
            After::Place(_) => None,
        });
        let limit = query.limit;
        if let Some(group) = &query.group {
            let members = groups::archived(&self.database, &row.id, group, now).await?;
            let ranked = members.iter().zip(1..).map(|((user, score), rank)| Ranked {
                rank,
                user: *user,
                score: *score,
            });
            let ranked: Vec<Ranked> = ranked.collect();
            let me = ranked.iter().find(|it| it.user == user).copied();
            let total = ranked.len() as u64;
            let before = first_rank(query.around_me, me, after, total, limit);
            let part = ranked.iter().filter(|it| it.rank > before);
            let part: Vec<Ranked> = part.take(capped(limit)).copied().collect();
            return Ok(archived_part(before, part, me, total));
        }
        let me = self.archived_entry(&row.id, user).await?;
        let total: Option<i64> = sqlx::query_scalar(
            "SELECT max(rank) FROM board_archive WHERE board = $1 AND window_key = $2",
        )
        .bind(&row.id.board)
        .bind(&row.id.window)
        .fetch_one(self.database.pool())
        .await?;
        let total = total.unwrap_or(0).unsigned_abs();
        let before = first_rank(query.around_me, me, after, total, limit);
        let rows = sqlx::query(
            "SELECT rank, user_id, score FROM board_archive
             WHERE board = $1 AND window_key = $2 AND rank > $3 ORDER BY rank LIMIT $4",
        )
        .bind(&row.id.board)
        .bind(&row.id.window)
        .bind(i64::try_from(before).unwrap_or(i64::MAX))
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(self.database.pool())
        .await?;
        let part = rows.iter().map(ranked_of).collect::<Result<_, _>>()?;
        Ok(archived_part(before, part, me, total))
    }

    async fn archived_entry(
        &self,
        window: &WindowId,
        user: UserId,
    ) -> Result<Option<Ranked>, BoardError> {
        let row = sqlx::query(
            "SELECT rank, user_id, score FROM board_archive
             WHERE board = $1 AND window_key = $2 AND user_id = $3",
        )
        .bind(&window.board)
        .bind(&window.window)
        .bind(user)
        .fetch_optional(self.database.pool())
        .await?;
        row.map(|row| ranked_of(&row)).transpose()
    }

    /// A player's place in an open window, held scores included: they count for the player alone.
    pub(super) async fn own(
        &self,
        board: &Board,
        row: &WindowRow,
        user: UserId,
    ) -> Result<Option<Own>, BoardError> {
        let mut connection = self.database.pool().acquire().await?;
        let known = table::row(&mut connection, &row.id, user).await?;
        drop(connection);
        let held = held::of_player(&self.database, &row.id, user).await?;
        let known = known.map(|it| (it.score, it.change.position.reached_at));
        let believed = held::believed(board.settings.keep, row.descending, known, &held);
        Ok(believed.map(|(score, reached_at)| Own {
            score,
            place: Position {
                sort_key: if row.descending { -score } else { score },
                reached_at,
                user,
            },
        }))
    }

    /// Reads a part of an open window from the index, or from the table while the index is not current.
    pub(super) async fn view(
        &self,
        window: &WindowId,
        request: &ViewRequest,
        now: Timestamp,
    ) -> Result<View, BoardError> {
        let since = sync::oldest_mark(now);
        let read = self.index.view(window, request, since).await;
        let found = read.unwrap_or_else(|error| {
            tracing::debug!(%error, "the index of boards is unavailable");
            None
        });
        self.metrics.read(found.is_some());
        match found {
            Some(view) => Ok(view),
            None => table::view(&self.database, window, request).await,
        }
    }

    /// Applies a committed change to the index. A failure is repaired by the process that keeps it current.
    pub(super) async fn apply(&self, window: &WindowId, change: Change) {
        if let Err(error) = self.index.apply(window, &[change]).await {
            tracing::debug!(%error, %window, "a score is not in the index yet");
        }
    }
}

fn capped(limit: u64) -> usize {
    usize::try_from(limit).unwrap_or(usize::MAX)
}

fn ranked_of(row: &sqlx::any::AnyRow) -> Result<Ranked, BoardError> {
    let rank: i64 = row.try_get("rank")?;
    Ok(Ranked {
        rank: rank.unsigned_abs(),
        user: row.try_get("user_id")?,
        score: row.try_get("score")?,
    })
}

/// Number of ranks before a page of an archive.
fn first_rank(around: bool, me: Option<Ranked>, after: Option<u64>, total: u64, limit: u64) -> u64 {
    match (around, me) {
        (true, Some(me)) => centred(me.rank.saturating_sub(1), total, limit),
        _ => after.unwrap_or(0),
    }
}

fn archived_part(before: u64, ranked: Vec<Ranked>, me: Option<Ranked>, total: u64) -> Page {
    let last = ranked.last().map(|it| it.rank).filter(|last| *last < total);
    Page {
        before,
        next: last.map(|last| After::Rank(i64::try_from(last).unwrap_or(i64::MAX))),
        ranked,
        me,
    }
}

/// The part of a list of places, which is in order.
fn view_of(places: &[Position], request: &ViewRequest) -> View {
    let before = |place: &Position| {
        let before = places.partition_point(|other| other < place);
        let own = places[..before]
            .iter()
            .any(|other| other.user == place.user);
        (before - usize::from(own)) as u64
    };
    let total = places.len() as u64;
    let first = match request.start {
        Start::Top => 0,
        Start::After(place) => places.partition_point(|other| *other <= place) as u64,
        Start::Around(place) => centred(before(&place), total, request.limit),
    };
    View {
        total,
        before: first,
        places: places
            .iter()
            .skip(capped(first))
            .take(capped(request.limit))
            .copied()
            .collect(),
        counts: request.counted.iter().map(before).collect(),
    }
}

/// The page of a view, down to the last place that is shown.
fn page_of(view: &View, own: Option<Own>, shown: u64, descending: bool) -> Page {
    let ranked = view.places.iter().zip(view.before + 1..);
    let ranked = ranked.take_while(|(_, rank)| *rank <= shown);
    let ranked: Vec<Ranked> = ranked
        .map(|(place, rank)| Ranked {
            rank,
            user: place.user,
            score: if descending {
                -place.sort_key
            } else {
                place.sort_key
            },
        })
        .collect();
    let end = view.before + ranked.len() as u64;
    let next = view.places.get(ranked.len().wrapping_sub(1));
    let me = own.zip(view.counts.first());
    Page {
        before: view.before,
        next: next
            .filter(|_| end < view.total.min(shown))
            .map(|last| After::Place(*last)),
        ranked,
        me: me.map(|(own, before)| Ranked {
            rank: before + 1,
            user: own.place.user,
            score: own.score,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn page_around_a_place_is_full_at_both_ends() {
        assert_eq!(centred(0, 100, 10), 0);
        assert_eq!(centred(4, 100, 10), 0);
        assert_eq!(centred(50, 100, 10), 45);
        assert_eq!(centred(99, 100, 10), 90);
        assert_eq!(centred(3, 5, 10), 0);
    }
}
