-- The platform's own analysis data, a row a day and dataset.
CREATE TABLE platform_stats (
    -- YYYY-MM-DD, Beijing time, as WeChat's days are.
    day               TEXT NOT NULL,
    -- 'summary', 'visits', 'retain', or 'game:' and a metric.
    dataset           TEXT NOT NULL,
    -- JSON, as WeChat tells it.
    figures           TEXT NOT NULL,
    -- When WeChat was asked last, and when it last said something new.
    fetched_at        INTEGER NOT NULL,
    changed_at        INTEGER NOT NULL,
    PRIMARY KEY (day, dataset)
);
