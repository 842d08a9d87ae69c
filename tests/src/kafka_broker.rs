//! A test double of a Kafka broker with one topic: implements as much of the protocol as a producer needs
//! (`ApiVersions` 3, `Metadata` 4, `Produce` 7, record batches of version 2) and checks what it receives,
//! checksum included. No real broker is available where the tests run.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use avalon_test_support::free_port;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const API_VERSIONS: i16 = 18;
const METADATA: i16 = 3;
const PRODUCE: i16 = 0;

/// A produced record.
#[derive(Clone, Debug)]
pub struct Produced {
    /// Partition number, from 0.
    pub partition: i32,
    /// Record key, UTF-8.
    pub key: String,
    /// Record value, JSON.
    pub value: Value,
    /// Record headers by name.
    pub headers: BTreeMap<String, String>,
}

/// A broker, unreachable until it is started.
pub struct KafkaBroker {
    /// `HOST:PORT`.
    pub address: String,
    port: u16,
    topic: &'static str,
    partitions: i32,
    produced: Arc<Mutex<Vec<Produced>>>,
}

impl KafkaBroker {
    /// Creates a broker with one topic; does not listen yet.
    pub fn with_topic(topic: &'static str, partitions: i32) -> Self {
        let port = free_port();
        Self {
            address: format!("127.0.0.1:{port}"),
            port,
            topic,
            partitions,
            produced: Arc::default(),
        }
    }

    /// All records produced so far.
    pub fn produced(&self) -> Vec<Produced> {
        self.produced.lock().unwrap().clone()
    }

    /// Starts to listen.
    pub async fn start(&self) {
        let socket = TcpListener::bind(&self.address).await.unwrap();
        let (port, topic, partitions) = (self.port, self.topic, self.partitions);
        let produced = Arc::clone(&self.produced);
        tokio::spawn(async move {
            while let Ok((stream, _)) = socket.accept().await {
                let connection = Connection {
                    port,
                    topic,
                    partitions,
                    produced: Arc::clone(&produced),
                };
                tokio::spawn(connection.serve(stream));
            }
        });
    }
}

struct Connection {
    port: u16,
    topic: &'static str,
    partitions: i32,
    produced: Arc<Mutex<Vec<Produced>>>,
}

impl Connection {
    /// Panics on the first invalid request, so that the producer sees a broken connection.
    async fn serve(self, mut stream: TcpStream) {
        while let Ok(length) = stream.read_i32().await {
            let mut request = vec![0; usize::try_from(length).unwrap()];
            stream.read_exact(&mut request).await.unwrap();
            let response = self.response(Bytes::from(request));
            stream
                .write_i32(i32::try_from(response.len()).unwrap())
                .await
                .unwrap();
            stream.write_all(&response).await.unwrap();
        }
    }

    fn response(&self, mut request: Bytes) -> BytesMut {
        let (key, version) = (request.get_i16(), request.get_i16());
        let mut response = BytesMut::new();
        response.put_i32(request.get_i32());
        let _client_id = string(&mut request);
        match (key, version) {
            (API_VERSIONS, 3) => api_versions(&mut response),
            (METADATA, 4) => self.metadata(&mut response),
            (PRODUCE, 7) => self.produce(&mut request, &mut response),
            other => panic!("unsupported request: {other:?}"),
        }
        response
    }

    fn metadata(&self, response: &mut BytesMut) {
        response.put_i32(0);
        // Brokers: this one, without a rack.
        response.put_i32(1);
        response.put_i32(1);
        put_string(response, "127.0.0.1");
        response.put_i32(i32::from(self.port));
        response.put_i16(-1);
        // No cluster id; the controller.
        response.put_i16(-1);
        response.put_i32(1);
        // Topics.
        response.put_i32(1);
        response.put_i16(0);
        put_string(response, self.topic);
        response.put_u8(0);
        response.put_i32(self.partitions);
        for partition in 0..self.partitions {
            response.put_i16(0);
            response.put_i32(partition);
            // Leader, replicas and in-sync replicas: this broker.
            response.put_i32(1);
            for _ in 0..2 {
                response.put_i32(1);
                response.put_i32(1);
            }
        }
    }

    fn produce(&self, request: &mut Bytes, response: &mut BytesMut) {
        assert_eq!(request.get_i16(), -1, "no transaction");
        assert_eq!(request.get_i16(), -1, "acknowledged by all replicas");
        assert!(request.get_i32() > 0, "a time limit");
        assert_eq!(request.get_i32(), 1, "one topic");
        assert_eq!(string(request), self.topic);
        assert_eq!(request.get_i32(), 1, "one partition");
        let partition = request.get_i32();
        assert!((0..self.partitions).contains(&partition));
        let length = usize::try_from(request.get_i32()).unwrap();
        let records = records(request.split_to(length), partition);
        assert!(!request.has_remaining());
        let mut produced = self.produced.lock().unwrap();
        let offset = i64::try_from(produced.len()).unwrap();
        produced.extend(records);
        response.put_i32(1);
        put_string(response, self.topic);
        response.put_i32(1);
        response.put_i32(partition);
        response.put_i16(0);
        response.put_i64(offset);
        response.put_i64(-1);
        response.put_i64(0);
        response.put_i32(0);
    }
}

fn api_versions(response: &mut BytesMut) {
    response.put_i16(0);
    // A compact array: length + 1.
    response.put_u8(4);
    for (key, min, max) in [(API_VERSIONS, 0, 3), (METADATA, 4, 4), (PRODUCE, 7, 7)] {
        response.put_i16(key);
        response.put_i16(min);
        response.put_i16(max);
        response.put_u8(0);
    }
    response.put_i32(0);
    response.put_u8(0);
}

/// The records of a batch of version 2.
fn records(mut batch: Bytes, partition: i32) -> Vec<Produced> {
    let _base_offset = batch.get_i64();
    assert_eq!(usize::try_from(batch.get_i32()), Ok(batch.remaining()));
    let _leader_epoch = batch.get_i32();
    assert_eq!(batch.get_i8(), 2, "the batch's version");
    assert_eq!(batch.get_u32(), crc32c(&batch), "the checksum");
    assert_eq!(batch.get_i16(), 0, "not compressed");
    // Last offset delta, two timestamps, producer id, epoch and sequence.
    batch.advance(4 + 8 + 8 + 8 + 2 + 4);
    let count = batch.get_i32();
    let records = (0..count).map(|_| {
        let length = usize::try_from(varint(&mut batch)).unwrap();
        let mut record = batch.split_to(length);
        assert_eq!(record.get_i8(), 0, "attributes");
        let _time = varint(&mut record);
        let _offset = varint(&mut record);
        let key = sized(&mut record);
        let value = sized(&mut record);
        let headers = (0..varint(&mut record)).map(|_| {
            let name = sized(&mut record);
            (text(&name), text(&sized(&mut record)))
        });
        let headers = headers.collect();
        assert!(!record.has_remaining());
        Produced {
            partition,
            key: text(&key),
            value: serde_json::from_slice(&value).unwrap(),
            headers,
        }
    });
    let records = records.collect();
    assert!(!batch.has_remaining());
    records
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn string(bytes: &mut Bytes) -> String {
    let length = usize::try_from(bytes.get_i16()).unwrap();
    text(&bytes.split_to(length))
}

fn put_string(bytes: &mut BytesMut, text: &str) {
    bytes.put_i16(i16::try_from(text.len()).unwrap());
    bytes.put_slice(text.as_bytes());
}

fn sized(bytes: &mut Bytes) -> Bytes {
    let length = usize::try_from(varint(bytes)).unwrap();
    bytes.split_to(length)
}

/// A zigzag varint, least significant group first.
fn varint(bytes: &mut Bytes) -> i64 {
    let (mut value, mut shift) = (0u64, 0);
    loop {
        let byte = bytes.get_u8();
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            let half = i64::try_from(value >> 1).unwrap();
            return if value & 1 == 0 { half } else { -half - 1 };
        }
        shift += 7;
    }
}

/// CRC-32C (Castagnoli), bitwise.
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
            if sum & 1 == 0 {
                sum >> 1
            } else {
                (sum >> 1) ^ 0x82f6_3b78
            }
        })
    })
}
