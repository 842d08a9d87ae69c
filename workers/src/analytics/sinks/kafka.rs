//! Kafka, or what speaks its protocol. One record an event, keyed by the player, so that a
//! player's events stay in order. A batch that is repeated is written again: who reads it tells
//! events by their ids, which are in a header too.

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

use super::{Delivery, EventSink, SinkError, beginning};

pub(crate) struct KafkaSink {
    brokers: Vec<String>,
    topic: String,
    timeout: Duration,
    /// The topic's partitions, once it was reached; forgotten when it does not answer in time, since the
    /// client would keep a connection that hangs.
    partitions: Mutex<Option<Arc<[PartitionClient]>>>,
}

/// Bytes of records in one request: a broker takes 1 MiB at most by default, with what is around them.
const MOST_BYTES: usize = 512 * 1024;

impl KafkaSink {
    /// As configured, if it is.
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
        // The job tries again; the client must not do so on its own for hours.
        let backoff = BackoffConfig {
            deadline: Some(self.timeout),
            ..BackoffConfig::default()
        };
        let client = ClientBuilder::new(self.brokers.clone())
            .client_id("avalon-wx")
            .backoff_config(backoff)
            .build()
            .await
            .map_err(away)?;
        let topics = client.list_topics().await.map_err(away)?;
        let topic = topics.into_iter().find(|topic| topic.name == self.topic);
        let topic = topic
            .ok_or_else(|| SinkError::Away(format!("there is no topic {}: make it", self.topic)))?;
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for partition in topic.partitions {
            let handling = UnknownTopicHandling::Error;
            let client = client.partition_client(&self.topic, partition, handling);
            partitions.push(client.await.map_err(away)?);
        }
        match partitions.is_empty() {
            true => Err(SinkError::Away("the topic has no partitions".to_owned())),
            false => Ok(partitions.into()),
        }
    }

    async fn partitions(&self) -> Result<Arc<[PartitionClient]>, SinkError> {
        // Who comes meanwhile waits for the same connection.
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
                .map_err(|error| SinkError::Refused(error.to_string()))?;
            let place = place_of(record.user_id, partitions.len());
            records.entry(place).or_default().push(KafkaRecord {
                key: Some(record.user_id.as_bytes().to_vec()),
                value: Some(value),
                headers: BTreeMap::from([("eventId".to_owned(), record.id.as_bytes().to_vec())]),
                timestamp: DateTime::from_timestamp_millis(record.timestamp.as_millisecond())
                    .unwrap_or_default(),
            });
        }
        for (place, records) in records {
            if let Some(partition) = partitions.get(place) {
                for records in portions(records) {
                    let produced = partition.produce(records, Compression::NoCompression);
                    produced.await.map_err(failed)?;
                }
            }
        }
        Ok(())
    }
}

/// In portions that a broker takes; one event is smaller by far.
fn portions(records: Vec<KafkaRecord>) -> Vec<Vec<KafkaRecord>> {
    let mut portions = vec![Vec::new()];
    let mut bytes = 0;
    for record in records {
        let size = record.approximate_size();
        if bytes > 0 && bytes + size > MOST_BYTES {
            portions.push(Vec::new());
            bytes = 0;
        }
        bytes += size;
        if let Some(last) = portions.last_mut() {
            last.push(record);
        }
    }
    portions
}

fn failed(error: Error) -> SinkError {
    match error {
        // The topic takes less than brokers do by default; no repeat makes it smaller.
        Error::ServerError {
            protocol_error: ProtocolError::MessageTooLarge,
            ..
        } => SinkError::Refused(beginning(&error.to_string())),
        error => away(error),
    }
}

#[allow(clippy::needless_pass_by_value, reason = "for map_err")]
fn away(error: rskafka::client::error::Error) -> SinkError {
    SinkError::Away(beginning(&error.to_string()))
}

/// The same partition for a player each time.
fn place_of(user_id: &str, partitions: usize) -> usize {
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

    async fn take(&self, delivery: &Delivery) -> Result<(), SinkError> {
        match tokio::time::timeout(self.timeout, self.produce(delivery)).await {
            Ok(produced) => produced,
            Err(_) => {
                *self.partitions.lock().await = None;
                Err(SinkError::Away("it did not answer in time".to_owned()))
            }
        }
    }
}
