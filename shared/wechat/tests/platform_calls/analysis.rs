//! The analysis APIs: figures of a day.

use avalon_wechat::{ErrorClass, GameMetric};
use jiff::civil::date;

use crate::platform::Platform;

#[tokio::test]
async fn each_day_has_its_own_figures() {
    let platform = Platform::simulated().await;
    let (client, day) = (&platform.client, date(2026, 1, 10));
    let summary = client.daily_summary(day).await.unwrap().unwrap();
    assert!(summary.visit_total >= 100_000);
    let visits = client.daily_visits(day).await.unwrap().unwrap();
    assert!(visits.visit_uv >= 1000 && visits.stay_time_uv > visits.stay_time_session);
    let retain = client.daily_retain(day).await.unwrap().unwrap();
    assert_eq!(retain.visit_uv[0].key, 0);
    assert_eq!(retain.visit_uv[0].value, visits.visit_uv);
    let metric: GameMetric = "1000006:4".parse().unwrap();
    let value = client.game_metric(&metric, day).await.unwrap().unwrap();
    let next = client
        .game_metric(&metric, date(2026, 1, 11))
        .await
        .unwrap();
    assert!(value >= 500.0);
    assert_ne!(Some(value), next, "each day has its own value");
}

#[tokio::test]
async fn unavailable_figures_are_none_or_retryable() {
    let platform = Platform::simulated().await;
    let (client, day) = (&platform.client, date(2026, 1, 10));
    let metric: GameMetric = "1000006:4".parse().unwrap();
    platform
        .put("/analysis", r#"{"missingDays":["2026-01-10"]}"#)
        .await;
    assert_eq!(client.daily_summary(day).await.unwrap(), None);
    assert_eq!(client.daily_visits(day).await.unwrap(), None);
    assert_eq!(client.daily_retain(day).await.unwrap(), None);
    assert_eq!(client.game_metric(&metric, day).await.unwrap(), None);
    platform.put("/analysis", r#"{"unready":"error"}"#).await;
    let error = client.daily_visits(day).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Retry);
    let error = client.game_metric(&metric, day).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Retry);
}
