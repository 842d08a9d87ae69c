-- What is deleted when it has been kept long enough, and callbacks that wait to be believed.
CREATE INDEX inbox_processed ON inbox (processed_at) WHERE processed_at IS NOT NULL;
CREATE INDEX inbox_unverified ON inbox (received_at) WHERE outcome IS NULL AND verified = 0;
CREATE INDEX fulfilments_delivered ON fulfilments (delivered_at) WHERE delivered_at IS NOT NULL;
