//! What a job is: its identity, its typed kind ([`Job`]) and the envelope that is stored
//! ([`NewJob`]). How jobs are stored is `store`; how they are run is `pool`.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use ulid::Ulid;

use crate::retry::{Jitter, RetryPolicy};

/// Unix time in milliseconds by this machine's clock.
pub fn now_ms() -> u64 {
    let since_epoch = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX)
}

/// Milliseconds of a duration, saturating.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The identity of a job, a ULID. The producer generates it, so that enqueueing again after a lost
/// response is idempotent.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobId(Ulid);

impl JobId {
    /// Generates a unique id; ids are ordered by time to the millisecond.
    pub fn generate() -> Self {
        Self(Ulid::generate())
    }

    /// The random bits, evenly distributed: engines derive the shard from them.
    pub(crate) fn random_bits(self) -> u64 {
        (self.0.0 & u128::from(u64::MAX)) as u64
    }

    /// The underlying ULID.
    pub fn ulid(self) -> Ulid {
        self.0
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The text is not a valid job id (a ULID of 26 characters).
#[derive(Debug, thiserror::Error)]
#[error("not a valid job id")]
pub struct InvalidJobId;

impl FromStr for JobId {
    type Err = InvalidJobId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // Only the canonical spelling is accepted: a job has exactly one textual id.
        let ulid = Ulid::from_string(text).map_err(|_| InvalidJobId)?;
        if ulid.to_string() == text {
            Ok(Self(ulid))
        } else {
            Err(InvalidJobId)
        }
    }
}

/// The name of a queue: lower-case letters, digits and hyphens, at most 40 bytes. It is part of
/// Redis keys and of metric labels.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct QueueName(Cow<'static, str>);

impl QueueName {
    /// Creates a name at compile time.
    ///
    /// # Panics
    /// If the name is invalid; in a constant this is a compile error.
    pub const fn new(name: &'static str) -> Self {
        assert!(is_queue_name(name.as_bytes()), "invalid queue name");
        Self(Cow::Borrowed(name))
    }

    /// The name as a string slice.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

const fn is_queue_name(name: &[u8]) -> bool {
    let mut i = 0;
    while i < name.len() {
        if !matches!(name[i], b'a'..=b'z' | b'0'..=b'9' | b'-') {
            return false;
        }
        i += 1;
    }
    i > 0 && i <= 40
}

/// The text is not a valid queue name.
#[derive(Debug, thiserror::Error)]
#[error("a queue name consists of 1 to 40 lower-case letters, digits and hyphens")]
pub struct InvalidQueueName;

impl FromStr for QueueName {
    type Err = InvalidQueueName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::try_from(text.to_owned())
    }
}

impl TryFrom<String> for QueueName {
    type Error = InvalidQueueName;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if is_queue_name(text.as_bytes()) {
            Ok(Self(Cow::Owned(text)))
        } else {
            Err(InvalidQueueName)
        }
    }
}

impl From<QueueName> for String {
    fn from(name: QueueName) -> Self {
        name.0.into_owned()
    }
}

impl fmt::Display for QueueName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for QueueName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A kind of job. The value is the payload; its handler is an async function from the value to
/// [`Job::Output`].
pub trait Job: Serialize + DeserializeOwned + Send + 'static {
    /// Queue in which jobs of this kind wait.
    const QUEUE: QueueName;
    /// Name of the kind in envelopes, logs and metric labels. Never reused for another kind.
    const KIND: &'static str;
    /// Version of the payload's schema. A handler receives the version of the job that it runs, so
    /// that jobs enqueued before a deployment still run after it. A worker that knows only older
    /// versions leaves the job to a newer one. Adding an optional field needs no new version.
    const VERSION: u16 = 1;
    /// Number of attempts and back-off between them.
    const RETRY: RetryPolicy;
    /// Random share of each back-off.
    const JITTER: Jitter = Jitter::Full;
    /// Maximum duration of one attempt.
    const TIME_LIMIT: Duration;
    /// Time for which the result can be read after the job has ended.
    const RESULT_TTL: Duration = Duration::from_secs(3600);
    /// Time for which a dead letter is stored; none: until an operator replays or purges it. Set it
    /// for kinds that players can create in large numbers and that are not worth replaying.
    const DEAD_TTL: Option<Duration> = None;
    /// Result of a successful attempt.
    type Output: Serialize + DeserializeOwned + Send;

    /// Idempotency key of this job; none: every enqueued job runs.
    fn key(&self) -> Option<IdempotencyKey> {
        None
    }

    /// Time between enqueueing and the first attempt.
    fn delay(&self) -> Duration {
        Duration::ZERO
    }

    /// Who may read the job, as the producer names readers; none: only operators.
    fn owner(&self) -> Option<String> {
        None
    }

    /// Time after enqueueing during which an attempt may start. A job that is leased later is
    /// rejected with `DEADLINE_EXCEEDED` and no retry is scheduled past it; none: no deadline.
    fn valid_for(&self) -> Option<Duration> {
        None
    }
}

/// While a job with this key is in flight, and for `ttl` after it has ended, enqueueing another one
/// with the same key returns the first one. A job that ends dead releases its key at once, so that a
/// repeat enqueues a new job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdempotencyKey {
    /// Unique within the queue.
    pub key: String,
    /// Lifetime of the key after the job has ended, in milliseconds.
    pub ttl_ms: u64,
}

impl IdempotencyKey {
    /// Creates a key that outlives its job by `ttl`, but at least by one millisecond.
    pub fn new(key: impl Into<String>, ttl: Duration) -> Self {
        Self {
            key: key.into(),
            ttl_ms: millis(ttl).max(1),
        }
    }
}

/// The reason why a job did not succeed. It becomes the job's `error`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Stable upper-case word that programs can act on.
    pub code: String,
    /// Sentence for people; never contains secrets.
    pub detail: String,
    /// Id of the entity that the failure is about, if the job has created or found it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
}

impl Failure {
    /// Creates a failure from its code and detail.
    pub fn new(code: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            code: code.into(),
            detail: detail.into(),
            about: None,
        }
    }

    /// Names the entity that the failure is about.
    #[must_use]
    pub fn about(self, id: impl Into<String>) -> Self {
        Self {
            about: Some(id.into()),
            ..self
        }
    }

    /// The error of a job whose lease expired during its last attempt.
    pub(crate) fn lease_expired() -> Self {
        Self::new(
            "LEASE_EXPIRED",
            "the worker stopped renewing its lease during the last attempt",
        )
    }

    /// The error of a job whose leases expired too often: it probably crashes its workers.
    pub(crate) fn poison() -> Self {
        Self::new("POISON", "too many leases of the job expired")
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.detail)
    }
}

/// The serialised [`Job`] of an envelope.
///
/// Serialising a job fails only if its type is defective (a map whose keys are not strings, a failing
/// `Serialize`). The error is then stored here, so that building a job cannot fail, and serialising
/// the payload returns it: no engine stores such an envelope, each returns
/// [`StoreError::Unexpected`](crate::StoreError::Unexpected).
#[derive(Clone)]
pub struct Payload(Result<Box<RawValue>, String>);

impl Payload {
    fn of(job: &impl Serialize) -> Self {
        Self(serde_json::value::to_raw_value(job).map_err(|error| error.to_string()))
    }

    /// The payload's JSON; empty, which no handler decodes, if serialisation failed.
    pub fn get(&self) -> &str {
        self.0.as_ref().map_or("", |json| json.get())
    }

    /// The payload's JSON; none if serialisation failed.
    pub fn into_json(self) -> Option<Box<RawValue>> {
        self.0.ok()
    }
}

impl From<Box<RawValue>> for Payload {
    fn from(json: Box<RawValue>) -> Self {
        Self(Ok(json))
    }
}

impl Serialize for Payload {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Ok(json) => json.serialize(serializer),
            Err(error) => Err(serde::ser::Error::custom(format_args!(
                "the payload cannot be serialised: {error}"
            ))),
        }
    }
}

impl<'de> Deserialize<'de> for Payload {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Box::<RawValue>::deserialize(deserializer).map(Self::from)
    }
}

/// The envelope of a job: what is stored with it, except the attempt, which the engine counts.
#[derive(Clone, Serialize, Deserialize)]
pub struct NewJob {
    /// Identity, chosen by the producer.
    pub id: JobId,
    /// Queue in which the job waits.
    pub queue: QueueName,
    /// [`Job::KIND`].
    pub kind: String,
    /// [`Job::VERSION`] at the time of enqueueing.
    #[serde(rename = "v")]
    pub version: u16,
    /// The serialised [`Job`].
    pub payload: Payload,
    /// Maximum number of attempts.
    pub max_attempts: u32,
    /// Time of enqueueing by the producer's clock, Unix ms.
    pub enqueued_at: u64,
    /// Time between enqueueing and the first attempt, in milliseconds.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub delay_ms: u64,
    /// Time after which no attempt starts, Unix ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<u64>,
    /// Who may read the job; none: only operators.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Key that at most one job holds at a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency: Option<IdempotencyKey>,
    /// W3C trace context of the request that caused the job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// A request waits for the job: the notification of its end carries the result or error, which
    /// saves the request a read of the store.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub awaited: bool,
    /// Time for which the result is stored after the job has ended, in milliseconds.
    pub result_ttl_ms: u64,
    /// Time for which a dead letter is stored, in milliseconds; 0: until it is replayed or purged.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub dead_ttl_ms: u64,
}

/// Omits the payload, which may hold data that must not be logged.
impl fmt::Debug for NewJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewJob")
            .field("id", &self.id)
            .field("queue", &self.queue)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(value: &u64) -> bool {
    *value == 0
}

impl NewJob {
    /// The envelope of a job, with its [key](Job::key), [delay](Job::delay), [owner](Job::owner) and
    /// [deadline](Job::valid_for). See [`Payload`] for a job that cannot be serialised.
    pub fn from_job<J: Job>(job: &J) -> Self {
        let mut envelope = Self::bare(job).delayed(job.delay());
        envelope.owner = job.owner();
        if let Some(key) = job.key() {
            envelope = envelope.once_per(key);
        }
        if let Some(time) = job.valid_for() {
            envelope = envelope.expiring_after(time);
        }
        envelope
    }

    fn bare<J: Job>(job: &J) -> Self {
        Self {
            id: JobId::generate(),
            queue: J::QUEUE,
            kind: J::KIND.to_owned(),
            version: J::VERSION,
            payload: Payload::of(job),
            max_attempts: J::RETRY.max_attempts,
            enqueued_at: now_ms(),
            delay_ms: 0,
            deadline: None,
            owner: None,
            idempotency: None,
            traceparent: None,
            awaited: false,
            result_ttl_ms: millis(J::RESULT_TTL),
            dead_ttl_ms: J::DEAD_TTL.map_or(0, millis),
        }
    }

    /// Delays the first attempt.
    #[must_use]
    pub fn delayed(mut self, delay: Duration) -> Self {
        self.delay_ms = millis(delay);
        self
    }

    /// Sets the deadline, counted from enqueueing.
    #[must_use]
    pub fn expiring_after(mut self, time: Duration) -> Self {
        self.deadline = Some(self.enqueued_at.saturating_add(millis(time)));
        self
    }

    /// Allows this reader to read the job.
    #[must_use]
    pub fn owned_by(mut self, owner: impl Into<String>) -> Self {
        self.owner = Some(owner.into());
        self
    }

    /// Sets the idempotency key. The result is stored at least as long as the key, so that a repeat
    /// finds it.
    #[must_use]
    pub fn once_per(mut self, key: IdempotencyKey) -> Self {
        self.result_ttl_ms = self.result_ttl_ms.max(key.ttl_ms);
        self.idempotency = Some(key);
        self
    }

    /// Announces that a request waits for the job.
    #[must_use]
    pub fn awaited(mut self) -> Self {
        self.awaited = true;
        self
    }

    /// Sets the trace context of the request that caused the job.
    #[must_use]
    pub fn traced(mut self, traceparent: impl Into<String>) -> Self {
        self.traceparent = Some(traceparent.into());
        self
    }
}

impl<J: Job> From<&J> for NewJob {
    fn from(job: &J) -> Self {
        Self::from_job(job)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize, Deserialize)]
    struct Reminder {
        user: String,
    }

    impl Job for Reminder {
        const QUEUE: QueueName = QueueName::new("reminder");
        const KIND: &'static str = "reminder";
        const RETRY: RetryPolicy = RetryPolicy::NEVER;
        const TIME_LIMIT: Duration = Duration::from_secs(1);
        const RESULT_TTL: Duration = Duration::from_secs(10);
        type Output = ();

        fn key(&self) -> Option<IdempotencyKey> {
            Some(IdempotencyKey::new(&*self.user, Duration::from_secs(60)))
        }

        fn delay(&self) -> Duration {
            Duration::from_secs(5)
        }

        fn owner(&self) -> Option<String> {
            Some(self.user.clone())
        }

        fn valid_for(&self) -> Option<Duration> {
            Some(Duration::from_secs(30))
        }
    }

    #[test]
    fn envelope_carries_what_the_job_declares() {
        let envelope = NewJob::from_job(&Reminder {
            user: "u1".to_owned(),
        });
        assert_eq!(envelope.payload.get(), r#"{"user":"u1"}"#);
        assert_eq!(envelope.delay_ms, 5_000);
        assert_eq!(envelope.owner.as_deref(), Some("u1"));
        assert_eq!(envelope.deadline, Some(envelope.enqueued_at + 30_000));
        assert_eq!(envelope.idempotency.unwrap().key, "u1");
        // At least as long as the key, so that a repeat finds the result.
        assert_eq!(envelope.result_ttl_ms, 60_000);
    }

    #[test]
    fn envelope_survives_serialisation() {
        let envelope = NewJob::from_job(&Reminder {
            user: "u1".to_owned(),
        });
        let json = serde_json::to_string(&envelope).unwrap();
        assert!(json.contains(r#""payload":{"user":"u1"}"#), "{json}");
        let decoded: NewJob = serde_json::from_str(&json).unwrap();
        assert_eq!(decoded.id, envelope.id);
        assert_eq!(decoded.payload.get(), envelope.payload.get());
    }

    #[test]
    fn job_id_has_one_spelling() {
        let id = JobId::generate();
        assert_eq!(id.to_string().parse::<JobId>().unwrap(), id);
        for wrong in [
            "",
            "x",
            &id.to_string().to_lowercase(),
            "8ZZZZZZZZZZZZZZZZZZZZZZZZZ",
        ] {
            assert!(wrong.parse::<JobId>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn queue_names_cannot_break_a_redis_key() {
        for wrong in ["", "a}b", "A", "a b", "a:b", &"x".repeat(41)] {
            assert!(wrong.parse::<QueueName>().is_err(), "{wrong}");
        }
        assert_eq!(
            "event-realtime".parse::<QueueName>().unwrap().as_str(),
            "event-realtime"
        );
    }
}
