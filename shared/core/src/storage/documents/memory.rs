//! Documents of a single process, in its memory: those of the embedded engine that need not
//! survive a restart.

use std::time::{Duration, Instant};

use async_trait::async_trait;

use moka::future::Cache;
use moka::ops::compute::{CompResult, Op};

use super::{DocumentError, Documents};

/// Beyond this number of documents, the least used ones are dropped.
const MAX_DOCUMENTS: u64 = 100_000;

/// Documents in memory.
pub struct MemoryDocuments(Cache<String, Entry>);

#[derive(Clone)]
struct Entry {
    text: String,
    ttl: Option<Duration>,
}

/// Each entry has an expiry of its own, which starts over when it is written.
struct EntryExpiry;

impl moka::Expiry<String, Entry> for EntryExpiry {
    fn expire_after_create(&self, _: &String, entry: &Entry, _: Instant) -> Option<Duration> {
        entry.ttl
    }

    fn expire_after_update(
        &self,
        _: &String,
        entry: &Entry,
        _: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        entry.ttl
    }
}

impl Default for MemoryDocuments {
    fn default() -> Self {
        let cache = Cache::builder().max_capacity(MAX_DOCUMENTS);
        Self(cache.expire_after(EntryExpiry).build())
    }
}

impl MemoryDocuments {
    /// Does `change` if the document is still `seen`.
    async fn change(&self, key: &str, seen: Option<&str>, change: Op<Entry>) -> bool {
        let entry = self.0.entry_by_ref(key);
        let result = entry.and_compute_with(async |entry| {
            let text = entry.as_ref().map(|entry| &*entry.value().text);
            if text == seen { change } else { Op::Nop }
        });
        !matches!(
            result.await,
            CompResult::Unchanged(_) | CompResult::StillNone(_)
        )
    }
}

#[async_trait]
impl Documents for MemoryDocuments {
    async fn get(&self, key: &str) -> Result<Option<String>, DocumentError> {
        Ok(self.0.get(key).await.map(|entry| entry.text))
    }

    async fn replace(
        &self,
        key: &str,
        seen: Option<&str>,
        new: &str,
        ttl: Option<Duration>,
    ) -> Result<bool, DocumentError> {
        let text = new.to_owned();
        Ok(self.change(key, seen, Op::Put(Entry { text, ttl })).await)
    }

    async fn remove(&self, key: &str, seen: &str) -> Result<bool, DocumentError> {
        Ok(self.change(key, Some(seen), Op::Remove).await)
    }
}
