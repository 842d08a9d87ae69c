//! Kafka, or a system that speaks its protocol. One record per event, keyed by player, so that a player's
//! events stay in order. A repeated batch is written again: consumers deduplicate by event id, which is
//! also in a header.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use avalon_core::analytics::config::AnalyticsConfig;
use chrono::DateTime;
use rskafka::BackoffConfig;
use rskafka::client::ClientBuilder;
use rskafka::client::error::{Error, ProtocolError};
use rskafka::client::partition::{Compression, PartitionClient, UnknownTopicHandling};
use rskafka::record::Record as KafkaRecord;
use tokio::sync::Mutex;

use super::{Delivery, EventSink, SinkError, truncated};

pub(crate) struct KafkaSink {
    brokers: Vec<String>,
    topic: String,
    timeout: Duration,
    /// The topic's partitions once connected. Reset after a timeout, since the client would keep a hanging
    /// connection.
    partitions: Mutex<Option<Arc<[PartitionClient]>>>,
}

/// Maximum size of the records of one request. Brokers accept 1 MiB by default, including overhead.
const MAX_BYTES: usize = 512 * 1024;

impl KafkaSink {
    /// Creates the sink if it is configured.
    pub(crate) fn of(config: &AnalyticsConfig) -> Option<Self> {
        if config.kafka_brokers.is_empty() {
            return None;
        }
        Some(Self {
            brokers: config.kafka_brokers.clone(),
            topic: config.kafka_topic.clone(),
            timeout: config.sink_timeout,
            partitions: Mutex::default(),
        })
    }

    async fn connect(&self) -> Result<Arc<[PartitionClient]>, SinkError> {
        // The job retries; the client must not do so on its own for hours.
        let backoff = BackoffConfig {
            deadline: Some(self.timeout),
            ..BackoffConfig::default()
        };
        let client = ClientBuilder::new(self.brokers.clone())
            .client_id("avalon-wx")
            .backoff_config(backoff)
            .build()
            .await
            .map_err(unavailable)?;
        let topics = client.list_topics().await.map_err(unavailable)?;
        let topic = topics.into_iter().find(|topic| topic.name == self.topic);
        let topic = topic.ok_or_else(|| {
            SinkError::Unavailable(format!("topic {} does not exist, create it", self.topic))
        })?;
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for partition in topic.partitions {
            let handling = UnknownTopicHandling::Error;
            let client = client.partition_client(&self.topic, partition, handling);
            partitions.push(client.await.map_err(unavailable)?);
        }
        match partitions.is_empty() {
            true => Err(SinkError::Unavailable(
                "the topic has no partitions".to_owned(),
            )),
            false => Ok(partitions.into()),
        }
    }

    async fn partitions(&self) -> Result<Arc<[PartitionClient]>, SinkError> {
        // Concurrent batches wait for the same connection.
        let mut partitions = self.partitions.lock().await;
        if let Some(partitions) = &*partitions {
            return Ok(Arc::clone(partitions));
        }
        Ok(Arc::clone(partitions.insert(self.connect().await?)))
    }

    async fn produce(&self, delivery: &Delivery) -> Result<(), SinkError> {
        let partitions = self.partitions().await?;
        let mut records: BTreeMap<usize, Vec<KafkaRecord>> = BTreeMap::new();
        for record in delivery.records() {
            let value = serde_json::to_vec(&record)
                .map_err(|error| SinkError::Rejected(error.to_string()))?;
            let partition = partition_of(record.user_id, partitions.len());
            records.entry(partition).or_default().push(KafkaRecord {
                key: Some(record.user_id.as_bytes().to_vec()),
                value: Some(value),
                headers: BTreeMap::from([("eventId".to_owned(), record.id.as_bytes().to_vec())]),
                timestamp: DateTime::from_timestamp_millis(record.timestamp.as_millisecond())
                    .unwrap_or_default(),
            });
        }
        for (partition, records) in records {
            if let Some(partition) = partitions.get(partition) {
                for records in requests(records) {
                    let produced = partition.produce(records, Compression::NoCompression);
                    produced.await.map_err(failed)?;
                }
            }
        }
        Ok(())
    }
}

/// Splits records into requests that a broker accepts. One event is far smaller.
fn requests(records: Vec<KafkaRecord>) -> Vec<Vec<KafkaRecord>> {
    let mut requests = vec![Vec::new()];
    let mut bytes = 0;
    for record in records {
        let size = record.approximate_size();
        if bytes > 0 && bytes + size > MAX_BYTES {
            requests.push(Vec::new());
            bytes = 0;
        }
        bytes += size;
        if let Some(last) = requests.last_mut() {
            last.push(record);
        }
    }
    requests
}

fn failed(error: Error) -> SinkError {
    match error {
        // The topic's limit is below the brokers' default; retrying does not help.
        Error::ServerError {
            protocol_error: ProtocolError::MessageTooLarge,
            ..
        } => SinkError::Rejected(truncated(&error.to_string())),
        error => unavailable(error),
    }
}

#[allow(clippy::needless_pass_by_value, reason = "for map_err")]
fn unavailable(error: rskafka::client::error::Error) -> SinkError {
    SinkError::Unavailable(truncated(&error.to_string()))
}

/// Returns the partition of a player, always the same.
fn partition_of(user_id: &str, partitions: usize) -> usize {
    let sum = user_id.bytes().fold(0u32, |sum, byte| {
        sum.wrapping_mul(31).wrapping_add(u32::from(byte))
    });
    sum as usize % partitions.max(1)
}

#[async_trait]
impl EventSink for KafkaSink {
    fn name(&self) -> &'static str {
        "kafka"
    }

    async fn accept(&self, delivery: &Delivery) -> Result<(), SinkError> {
        match tokio::time::timeout(self.timeout, self.produce(delivery)).await {
            Ok(produced) => produced,
            Err(_) => {
                *self.partitions.lock().await = None;
                Err(SinkError::Unavailable("timed out".to_owned()))
            }
        }
    }
}
