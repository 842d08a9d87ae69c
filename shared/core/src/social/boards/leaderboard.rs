//! Reading a board: pages, the surroundings of a player, windows that have ended, groups.

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::board::Board;
use super::cursor::{After, Cursor};
use super::entries::{self, Entry, Ranked};
use super::error::BoardError;
use super::index::{Change, Position, Start, View, ViewRequest, centred};
use super::names::{BoardName, WindowId, WindowKey};
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
pub(super) struct Page {
    pub(super) before: u64,
    pub(super) ranked: Vec<Ranked>,
    pub(super) me: Option<Ranked>,
    pub(super) next: Option<After>,
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

pub(super) fn capped(limit: u64) -> usize {
    usize::try_from(limit).unwrap_or(usize::MAX)
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
    fn page_around_a_place_is_full_at_both_ends() {
        assert_eq!(centred(0, 100, 10), 0);
        assert_eq!(centred(4, 100, 10), 0);
        assert_eq!(centred(50, 100, 10), 45);
        assert_eq!(centred(99, 100, 10), 90);
        assert_eq!(centred(3, 5, 10), 0);
    }
}
