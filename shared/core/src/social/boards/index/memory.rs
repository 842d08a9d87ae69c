//! The index in the process, for the embedded engine. Places are in chunks of a bounded size, so that inserting and
//! counting touch a chunk and the list of chunks, not a million places.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use moka::sync::Cache;

use super::{BoardIndex, Change, Position, Start, View, ViewRequest, centred};
use crate::base::ids::UserId;
use crate::social::boards::error::BoardError;
use crate::social::boards::names::{BoardName, WindowId};

/// Maximum number of places in a chunk.
const CHUNK: usize = 1024;
/// Players whose scores of a minute are counted.
const MAX_COUNTED: u64 = 100_000;

/// Places in ascending order.
#[derive(Default)]
struct Places {
    /// None is empty.
    chunks: Vec<Vec<Position>>,
    len: usize,
}

impl Places {
    /// The chunk that has the place, or would have it.
    fn chunk_of(&self, place: &Position) -> usize {
        let after = self
            .chunks
            .partition_point(|chunk| chunk.last().is_some_and(|last| last < place));
        after.min(self.chunks.len().saturating_sub(1))
    }

    fn insert(&mut self, place: Position) {
        if self.chunks.is_empty() {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        let at = self.chunk_of(&place);
        let chunk = &mut self.chunks[at];
        if let Err(index) = chunk.binary_search(&place) {
            chunk.insert(index, place);
            self.len += 1;
        }
        if chunk.len() > CHUNK {
            let half = chunk.split_off(CHUNK / 2);
            self.chunks.insert(at + 1, half);
        }
    }

    fn remove(&mut self, place: &Position) {
        let at = self.chunk_of(place);
        let Some(chunk) = self.chunks.get_mut(at) else {
            return;
        };
        if let Ok(index) = chunk.binary_search(place) {
            chunk.remove(index);
            self.len -= 1;
        }
        if chunk.is_empty() {
            self.chunks.remove(at);
        }
    }

    /// Number of places before this one.
    fn before(&self, place: &Position) -> usize {
        let Some(chunk) = self.chunks.get(self.chunk_of(place)) else {
            return 0;
        };
        let whole = &self.chunks[..self.chunk_of(place)];
        let whole: usize = whole.iter().map(Vec::len).sum();
        whole + chunk.partition_point(|other| other < place)
    }

    fn slice(&self, start: usize, limit: usize) -> Vec<Position> {
        let mut skip = start;
        let mut places = Vec::with_capacity(limit.min(self.len));
        for chunk in &self.chunks {
            if skip >= chunk.len() {
                skip -= chunk.len();
                continue;
            }
            let wanted = limit - places.len();
            places.extend(chunk.iter().skip(skip).take(wanted));
            skip = 0;
            if places.len() == limit {
                break;
            }
        }
        places
    }
}

#[derive(Default)]
struct Ranking {
    places: Places,
    /// Of each player the version, and the place if ranked.
    rows: HashMap<UserId, (i64, Option<Position>)>,
    mark: Option<Timestamp>,
}

impl Ranking {
    fn apply(&mut self, change: &Change) {
        let user = change.position.user;
        let known = self.rows.get(&user).copied();
        if known.is_some_and(|(version, _)| version >= change.version) {
            return;
        }
        if let Some((_, Some(old))) = known {
            self.places.remove(&old);
        }
        let place = change.ranked.then_some(change.position);
        if let Some(place) = place {
            self.places.insert(place);
        }
        self.rows.insert(user, (change.version, place));
    }

    /// Number of other players before the place.
    fn before(&self, place: &Position) -> u64 {
        let own = self.rows.get(&place.user).and_then(|row| row.1);
        let before = self.places.before(place) - usize::from(own.is_some_and(|own| own < *place));
        before as u64
    }

    fn view(&self, request: &ViewRequest) -> View {
        let (total, limit) = (self.places.len as u64, request.limit);
        let before = match request.start {
            Start::Top => 0,
            Start::After(place) => {
                let taken = self
                    .rows
                    .get(&place.user)
                    .is_some_and(|row| row.1 == Some(place));
                self.places.before(&place) as u64 + u64::from(taken)
            }
            Start::Around(place) => centred(self.before(&place), total, limit),
        };
        let size = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        let counts = request.counted.iter();
        View {
            total,
            before,
            places: self.places.slice(size(before), size(limit)),
            counts: counts.map(|place| self.before(place)).collect(),
        }
    }
}

/// The index in the process.
pub struct MemoryIndex {
    rankings: Mutex<HashMap<WindowId, Ranking>>,
    counts: Cache<(BoardName, UserId, i64), u64>,
}

impl Default for MemoryIndex {
    fn default() -> Self {
        let counts = Cache::builder()
            .max_capacity(MAX_COUNTED)
            .time_to_live(Duration::from_secs(120))
            .build();
        Self {
            rankings: Mutex::default(),
            counts,
        }
    }
}

impl MemoryIndex {
    fn rankings(&self) -> MutexGuard<'_, HashMap<WindowId, Ranking>> {
        self.rankings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl BoardIndex for MemoryIndex {
    async fn apply(&self, window: &WindowId, changes: &[Change]) -> Result<(), BoardError> {
        let mut rankings = self.rankings();
        let ranking = rankings.entry(window.clone()).or_default();
        for change in changes {
            ranking.apply(change);
        }
        Ok(())
    }

    async fn view(
        &self,
        window: &WindowId,
        request: &ViewRequest,
        since: Timestamp,
    ) -> Result<Option<View>, BoardError> {
        let rankings = self.rankings();
        let current = rankings.get(window);
        let current = current.filter(|it| it.mark.is_some_and(|mark| mark >= since));
        Ok(current.map(|ranking| ranking.view(request)))
    }

    async fn mark(&self, window: &WindowId) -> Result<Option<Timestamp>, BoardError> {
        Ok(self.rankings().get(window).and_then(|it| it.mark))
    }

    async fn set_mark(
        &self,
        window: &WindowId,
        mark: Timestamp,
        create: bool,
    ) -> Result<(), BoardError> {
        let mut rankings = self.rankings();
        if create {
            rankings.entry(window.clone()).or_default().mark = Some(mark);
        } else if let Some(known) = rankings.get_mut(window).and_then(|it| it.mark.as_mut()) {
            *known = mark;
        }
        Ok(())
    }

    async fn clear(&self, window: &WindowId) -> Result<(), BoardError> {
        self.rankings().remove(window);
        Ok(())
    }

    async fn lead(&self, _: &str) -> Result<bool, BoardError> {
        Ok(true)
    }

    async fn count(
        &self,
        board: &BoardName,
        user: UserId,
        now: Timestamp,
    ) -> Result<u64, BoardError> {
        let key = (board.clone(), user, now.as_second().div_euclid(60));
        let entry = self.counts.entry(key);
        let counted = entry.and_upsert_with(|old| old.map_or(1, |old| old.into_value() + 1));
        Ok(counted.into_value())
    }
}
