-- Key of WeChat's friends ranking from which the scores of the window are removed, as it was when the window ended.
ALTER TABLE board_windows ADD COLUMN hosted_key TEXT;

-- Players who came by a code alone, for the funnel.
CREATE INDEX invites_by_code ON invites (at) WHERE share_id IS NULL;
