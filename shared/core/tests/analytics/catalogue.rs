//! The event catalogue.

use avalon_core::analytics::catalogue::{self, EventDefinition};
use jiff::Timestamp;
use serde_json::json;

use super::Store;

#[tokio::test]
async fn definitions_round_trip() {
    for store in Store::both().await {
        let mut definition = EventDefinition {
            event_name: "关卡".to_owned(),
            schema: Some(json!({"type": "object"})),
            sensitive: vec!["phone".to_owned()],
            sampling_rate: 0.25,
        };
        let now = Timestamp::now();
        catalogue::put(&store.database, &definition, now)
            .await
            .unwrap();
        definition.schema = None;
        definition.sampling_rate = 0.0001;
        catalogue::put(&store.database, &definition, now)
            .await
            .unwrap();
        assert_eq!(
            catalogue::list(&store.database).await.unwrap(),
            [definition]
        );
        assert!(catalogue::remove(&store.database, "关卡").await.unwrap());
        assert!(!catalogue::remove(&store.database, "关卡").await.unwrap());
    }
}
