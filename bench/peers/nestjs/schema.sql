-- Tables of the peer.
CREATE TABLE users (
  id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  open_id       text NOT NULL UNIQUE,
  union_id      text,
  logins        integer NOT NULL DEFAULT 1,
  created_at    timestamptz NOT NULL DEFAULT now(),
  last_login_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE products (
  id    text PRIMARY KEY,
  name  text NOT NULL,
  price integer NOT NULL
);

CREATE TABLE orders (
  id              text PRIMARY KEY,
  open_id         text NOT NULL,
  product_id      text NOT NULL,
  description     text NOT NULL,
  quantity        integer NOT NULL,
  total           integer NOT NULL,
  status          text NOT NULL DEFAULT 'pending',
  idempotency_key text NOT NULL,
  prepay_id       text,
  transaction_id  text,
  created_at      timestamptz NOT NULL DEFAULT now(),
  paid_at         timestamptz,
  UNIQUE (open_id, idempotency_key)
);

CREATE TABLE notifications (
  id             text PRIMARY KEY,
  order_id       text NOT NULL,
  transaction_id text NOT NULL,
  payload        jsonb NOT NULL,
  processed_at   timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE events (
  batch_id    uuid NOT NULL,
  position    integer NOT NULL,
  open_id     text NOT NULL,
  name        text NOT NULL,
  at          timestamptz NOT NULL,
  params      jsonb,
  received_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (batch_id, position)
);
