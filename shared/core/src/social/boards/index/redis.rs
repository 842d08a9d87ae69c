//! The index in Redis, shared by any number of processes. The keys of a window are on one node of a Cluster, and
//! each operation is one script.
//!
//! | key | value |
//! |---|---|
//! | `P:boards:{BOARD/WINDOW}:order` | sorted set: the sort key, a double that holds it exactly; the member is the time, in 15 digits, and the player, so that equal scores are in the order of the ranking |
//! | `P:boards:{BOARD/WINDOW}:rows` | hash: of each player the version of the row, a colon, and the time if ranked |
//! | `P:boards:{BOARD/WINDOW}:mark` | the mark, Unix ms |
//! | `P:boards:leader` | the process that keeps the indexes current; expires |
//! | `P:boards:rate:BOARD:USER:MINUTE` | number of scores; expires |

use std::sync::LazyLock;
use std::time::Duration;

use async_trait::async_trait;
use avalon_queue::{RedisEndpoint, RedisLink};
use jiff::Timestamp;
use redis::{RedisError, Script};

use super::{BoardIndex, Change, Position, Start, View, ViewRequest};
use crate::base::ids::UserId;
use crate::social::boards::error::BoardError;
use crate::social::boards::names::{BoardName, WindowId};

/// An operation that takes longer fails.
const TIMEOUT: Duration = Duration::from_secs(2);
/// How long a leader leads without renewing it.
const LEASE: Duration = Duration::from_secs(5);
/// Changes per script, which blocks the server.
const BATCH: usize = 500;

/// KEYS: order, rows. ARGV: for each change user, version, sort key, time; the time is empty if not ranked.
static APPLY: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "for i = 1, #ARGV, 4 do
             local user, version, key, time = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
             local row = redis.call('HGET', KEYS[2], user)
             local known, old
             if row then known, old = string.match(row, '^(%d+):(%d*)$') end
             if not known or tonumber(version) > tonumber(known) then
                 if old and old ~= '' and old ~= time then redis.call('ZREM', KEYS[1], old .. user) end
                 if time ~= '' then redis.call('ZADD', KEYS[1], key, time .. user) end
                 redis.call('HSET', KEYS[2], user, version .. ':' .. time)
             end
         end",
    )
});

/// KEYS: order, rows, mark. ARGV: oldest mark, limit, what ('top', 'after', 'around'), the place (user, sort key,
/// time), and the counted ones. Returns nil without a recent mark; else total, number before the part, a dash,
/// the counts, and the members with their sort keys.
///
/// A place that is empty is filled for the time of the script. A player's own other place, which a change that
/// is not applied yet has left, does not count before the player, but does before a page's end.
static VIEW: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local mark = redis.call('GET', KEYS[3])
         if not mark or tonumber(mark) < tonumber(ARGV[1]) then return nil end
         local total, limit = redis.call('ZCARD', KEYS[1]), tonumber(ARGV[2])
         local function before(user, key, time, others)
             local member = time .. user
             local score = redis.call('ZSCORE', KEYS[1], member)
             local there = score and tonumber(score) == tonumber(key)
             if there then return redis.call('ZRANK', KEYS[1], member), 1 end
             if score then redis.call('ZREM', KEYS[1], member) end
             local row, other = redis.call('HGET', KEYS[2], user), nil
             if row then other = string.match(row, '^%d+:(%d+)$') end
             redis.call('ZADD', KEYS[1], key, member)
             local rank = redis.call('ZRANK', KEYS[1], member)
             if others and other and other ~= time then
                 local own = redis.call('ZRANK', KEYS[1], other .. user)
                 if own and own < rank then rank = rank - 1 end
             end
             redis.call('ZREM', KEYS[1], member)
             if score then redis.call('ZADD', KEYS[1], score, member) end
             return rank, 0
         end
         local start = 0
         if ARGV[3] ~= 'top' then
             local rank, there = before(ARGV[4], ARGV[5], ARGV[6], ARGV[3] == 'around')
             if ARGV[3] == 'after' then start = rank + there
             else
                 start = math.max(math.min(rank - math.floor(limit / 2), total - limit), 0)
             end
         end
         local places = {}
         if limit > 0 then
             places = redis.call('ZRANGE', KEYS[1], start, start + limit - 1, 'WITHSCORES')
         end
         local reply = {tostring(total), tostring(start), '-'}
         for i = 7, #ARGV, 3 do
             local rank = before(ARGV[i], ARGV[i + 1], ARGV[i + 2], true)
             reply[#reply + 1] = tostring(rank)
         end
         for _, text in ipairs(places) do reply[#reply + 1] = text end
         return reply",
    )
});

/// KEYS: the leader. ARGV: the process, the lease in ms. Returns 1 if it leads.
static LEAD: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local leader = redis.call('GET', KEYS[1])
         if leader and leader ~= ARGV[1] then return 0 end
         redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
         return 1",
    )
});

/// The index in Redis.
pub struct RedisIndex {
    endpoint: RedisEndpoint,
    prefix: String,
}

impl RedisIndex {
    /// Stores it under keys that begin with `prefix`.
    pub fn new(endpoint: RedisEndpoint, prefix: &str) -> Self {
        Self {
            endpoint,
            prefix: format!("{prefix}:boards"),
        }
    }

    fn link(&self) -> RedisLink {
        self.endpoint.shared()
    }

    fn key(&self, window: &WindowId, name: &str) -> String {
        format!("{}:{{{window}}}:{name}", self.prefix)
    }
}

async fn in_time<T>(reply: impl Future<Output = Result<T, RedisError>>) -> Result<T, BoardError> {
    match tokio::time::timeout(TIMEOUT, reply).await {
        Ok(reply) => reply.map_err(|error| BoardError::Index(error.to_string())),
        Err(_) => Err(BoardError::Index("no reply in time".to_owned())),
    }
}

/// Digits of a time in a member; enough for 30,000 years.
fn time_text(reached_at: i64) -> String {
    format!("{:015}", reached_at.max(0))
}

fn place_of(member: &str, sort_key: &str) -> Option<Position> {
    let (time, user) = member.split_at_checked(15)?;
    #[allow(
        clippy::cast_possible_truncation,
        reason = "an integer within 2^53 - 1"
    )]
    let sort_key = sort_key.parse::<f64>().ok()? as i64;
    Some(Position {
        sort_key,
        reached_at: time.parse().ok()?,
        user: user.parse().ok()?,
    })
}

fn damaged() -> BoardError {
    BoardError::Index("unexpected reply".to_owned())
}

#[async_trait]
impl BoardIndex for RedisIndex {
    async fn apply(&self, window: &WindowId, changes: &[Change]) -> Result<(), BoardError> {
        for batch in changes.chunks(BATCH) {
            let mut call = APPLY.key(self.key(window, "order"));
            call.key(self.key(window, "rows"));
            for Change {
                position,
                ranked,
                version,
            } in batch
            {
                let time = match ranked {
                    true => time_text(position.reached_at),
                    false => String::new(),
                };
                call.arg(position.user.to_string())
                    .arg(*version)
                    .arg(position.sort_key)
                    .arg(time);
            }
            let mut link = self.link();
            in_time(call.invoke_async::<()>(&mut link)).await?;
        }
        Ok(())
    }

    async fn view(
        &self,
        window: &WindowId,
        request: &ViewRequest,
        since: Timestamp,
    ) -> Result<Option<View>, BoardError> {
        let mut call = VIEW.key(self.key(window, "order"));
        call.key(self.key(window, "rows"));
        call.key(self.key(window, "mark"));
        let (what, place) = match request.start {
            Start::Top => ("top", None),
            Start::After(place) => ("after", Some(place)),
            Start::Around(place) => ("around", Some(place)),
        };
        call.arg(since.as_millisecond())
            .arg(request.limit)
            .arg(what);
        let counted = request.counted.iter().map(|place| Some(*place));
        for place in std::iter::once(place).chain(counted) {
            match place {
                Some(place) => call
                    .arg(place.user.to_string())
                    .arg(place.sort_key)
                    .arg(time_text(place.reached_at)),
                None => call.arg("").arg("").arg(""),
            };
        }
        let mut link = self.link();
        let reply: Option<Vec<String>> = in_time(call.invoke_async(&mut link)).await?;
        let Some(reply) = reply else { return Ok(None) };
        let numbers = reply.iter().map(|text| text.parse::<u64>().ok());
        let numbers: Vec<Option<u64>> = numbers.collect();
        let number = |at: usize| numbers.get(at).copied().flatten().ok_or_else(damaged);
        let counts = request.counted.len();
        let (counted, places) = reply
            .get(3..)
            .and_then(|rest| rest.split_at_checked(counts))
            .ok_or_else(damaged)?;
        let counts: Option<Vec<u64>> = counted.iter().map(|text| text.parse().ok()).collect();
        let places: Option<Vec<Position>> = places
            .chunks_exact(2)
            .map(|pair| place_of(&pair[0], &pair[1]))
            .collect();
        Ok(Some(View {
            total: number(0)?,
            before: number(1)?,
            places: places.ok_or_else(damaged)?,
            counts: counts.ok_or_else(damaged)?,
        }))
    }

    async fn mark(&self, window: &WindowId) -> Result<Option<Timestamp>, BoardError> {
        let mut command = redis::cmd("GET");
        command.arg(self.key(window, "mark"));
        let mut link = self.link();
        let mark: Option<i64> = in_time(command.query_async(&mut link)).await?;
        Ok(mark.and_then(|ms| Timestamp::from_millisecond(ms).ok()))
    }

    async fn set_mark(
        &self,
        window: &WindowId,
        mark: Timestamp,
        create: bool,
    ) -> Result<(), BoardError> {
        let mut command = redis::cmd("SET");
        command
            .arg(self.key(window, "mark"))
            .arg(mark.as_millisecond());
        if !create {
            command.arg("XX");
        }
        let mut link = self.link();
        let _: Option<String> = in_time(command.query_async(&mut link)).await?;
        Ok(())
    }

    async fn clear(&self, window: &WindowId) -> Result<(), BoardError> {
        let mut command = redis::cmd("UNLINK");
        for name in ["mark", "order", "rows"] {
            command.arg(self.key(window, name));
        }
        let mut link = self.link();
        let _: u64 = in_time(command.query_async(&mut link)).await?;
        Ok(())
    }

    async fn lead(&self, process: &str) -> Result<bool, BoardError> {
        let mut call = LEAD.key(format!("{}:leader", self.prefix));
        let lease = u64::try_from(LEASE.as_millis()).unwrap_or(u64::MAX);
        call.arg(process).arg(lease);
        let mut link = self.link();
        in_time(call.invoke_async(&mut link)).await
    }

    async fn count(
        &self,
        board: &BoardName,
        user: UserId,
        now: Timestamp,
    ) -> Result<u64, BoardError> {
        let minute = now.as_second().div_euclid(60);
        let key = format!("{}:rate:{board}:{user}:{minute}", self.prefix);
        let mut pipeline = redis::pipe();
        pipeline.incr(&key, 1).expire(&key, 120).ignore();
        let mut link = self.link();
        let (count,): (u64,) = in_time(pipeline.query_async(&mut link)).await?;
        Ok(count)
    }
}
