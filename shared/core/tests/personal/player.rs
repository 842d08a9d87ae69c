//! A player of whom every table has something.

use std::sync::Arc;
use std::time::Duration;

use avalon_core::accounts::sign_in::{self, SignInFacts};
use avalon_core::accounts::users::UserInfo;
use avalon_core::analytics::catalogue::Catalogue;
use avalon_core::analytics::prepare::{Policy, UnknownEvents, prepare};
use avalon_core::analytics::writer::EventWriter;
use avalon_core::analytics::{
    BatchHead, Client, Day, EventBatch, EventLine, EventMetrics, Player as EventPlayer, Source,
};
use avalon_core::base::fen::Fen;
use avalon_core::base::ids::{OrderId, SessionId};
use avalon_core::payments::fulfilments::Webhooks;
use avalon_core::payments::orders::{self, HoldRules, NewOrder, PayBack, Payment};
use avalon_core::payments::products::{self, Product};
use avalon_core::payments::{Cause, Channel, PayWith, PaymentError};
use avalon_core::storage::config::DatabaseConfig;
use avalon_core::storage::database::Database;
use avalon_core::storage::keyring::{EncryptionKey, Keyring};
use avalon_test_support::{TestDatabase, search_database};
use avalon_wechat::{Code2Session, OpenId, SessionKey, UnionId};
use jiff::Timestamp;
use prometheus::Registry;
use serde_json::value::RawValue;
use ulid::Ulid;

use crate::database_of;

pub(crate) const OPEN_ID: &str = "oPlayerOfThisGame";
pub(crate) const UNION_ID: &str = "uPlayerOfAllGames";
pub(crate) const NICKNAME: &str = "Lanzarote 阿";
pub(crate) const DEVICE: &str = "device-7f3a9c";
const PERSONAL: [&str; 4] = [OPEN_ID, UNION_ID, NICKNAME, DEVICE];

pub(crate) struct Player {
    pub(crate) database: Database,
    pub(crate) keyring: Keyring,
    pub(crate) user: UserInfo,
    events: EventWriter,
    test: TestDatabase,
}

impl Player {
    /// Signs a player in who has nothing yet.
    pub(crate) async fn on(test: TestDatabase) -> Self {
        let database = database_of(&test);
        database.migrate().await.unwrap();
        let keyring = Keyring::new(&EncryptionKey::from_bytes([1; 32]), &[]).unwrap();
        let config = DatabaseConfig {
            url: test.url().parse().unwrap(),
            ..DatabaseConfig::default()
        };
        let metrics = EventMetrics::new(&Registry::new()).unwrap();
        let product = Product::new("gems".parse().unwrap(), "Gems", Fen::new(100).unwrap());
        products::put(&database, &product).await.unwrap();
        let user = sign_in(&database, &keyring).await;
        Self {
            events: EventWriter::spawn(database.clone(), &config, metrics).unwrap(),
            database,
            keyring,
            user,
            test,
        }
    }

    /// Signs in once more.
    pub(crate) async fn sign_in(&self) -> UserInfo {
        sign_in(&self.database, &self.keyring).await
    }

    pub(crate) async fn order(&self, key: &str) -> Result<OrderId, PaymentError> {
        let new = NewOrder {
            user_id: self.user.id,
            open_id: OpenId::new(OPEN_ID),
            product_id: "gems".parse().unwrap(),
            quantity: 2,
            channel: Channel::WechatPay,
            platform: None,
            pay_with: PayWith::Money,
            idempotency_key: key.to_owned(),
            request_digest: key.to_owned(),
            holds: HoldRules {
                ttl: Duration::from_secs(1800),
                scarce_ttl: Duration::from_secs(1800),
                scarce_stock: 0,
                max_pending_orders: i64::MAX,
                max_pending_stock_percent: 100,
            },
            first_check: Duration::from_secs(30),
        };
        let now = Timestamp::now();
        let order = orders::create(&self.database, &new, now).await?.id;
        let request = format!(r#"{{"payer":{{"openid":"{OPEN_ID}"}}}}"#);
        orders::store_request(&self.database, order, &request, now)
            .await
            .unwrap();
        Ok(order)
    }

    pub(crate) async fn pay(&self, order: OrderId) {
        let now = Timestamp::now();
        let payment = Payment {
            channel: Channel::WechatPay,
            transaction_id: Some(format!("t-{order}")),
            total: Fen::new(200).unwrap(),
            currency: "CNY".to_owned(),
            at: now,
        };
        let (database, never) = (&self.database, PayBack::Never);
        orders::pay(
            database,
            order,
            &payment,
            Cause::Callback,
            never,
            Webhooks::Stored,
            now,
        )
        .await
        .unwrap();
    }

    /// Reports an event with personal data in its parameters.
    pub(crate) async fn report(&self, id: &str) {
        let params = format!(r#"{{"device":"{DEVICE}","name":"{NICKNAME}"}}"#);
        let now = Timestamp::now().as_millisecond();
        let batch = EventBatch {
            head: BatchHead {
                id: Ulid::generate(),
                received_at: now,
                source: Source::Client,
                players: vec![EventPlayer {
                    user_id: self.user.id.to_string(),
                    open_id: Some(OPEN_ID.to_owned()),
                }],
                client: Client::default(),
            },
            events: vec![EventLine {
                name: "level_up".to_owned(),
                params: RawValue::from_string(params).unwrap(),
                at: now,
                id: Some(id.to_owned()),
                session_id: Some(format!("s-{DEVICE}")),
                player: 0,
            }],
        };
        let policy = Policy {
            unknown: UnknownEvents::Accept,
            oldest: Day::from_number(0),
        };
        let ready = prepare(batch, &Catalogue::default(), policy);
        self.events.write(Arc::new(ready)).await.unwrap();
    }

    /// Fills the columns that other features write.
    pub(crate) async fn fill(&self) {
        let user = self.user.id.to_string();
        for (statement, values) in [
            (
                "UPDATE users SET nickname = $2, avatar_url = 'https://a/' || $2, city = $3, country = 'CN',
                     refused_nickname = $2, ban_reason = $2, profile_source = 'raw', profile_at = 1
                 WHERE id = $1",
                vec![&*user, NICKNAME, DEVICE],
            ),
            (
                "INSERT INTO sessions (id, user_id, device_id, refresh_digest, signing_key, signing_key_kid,
                                       created_at, expires_at)
                 SELECT 's1', id, $2, session_key, session_key, 'k', 1, 2 FROM users WHERE id = $1",
                vec![&user, DEVICE],
            ),
            (
                "INSERT INTO audit_events (id, at, kind, user_id, actor, address, detail)
                 VALUES ('a1', 1, 'nickname_refused', $1, 'player', '203.0.113.7', $2)",
                vec![&user, NICKNAME],
            ),
            (
                "INSERT INTO invites (user_id, inviter_id, device, client_ip, at, state)
                 VALUES ($1, 'someone', $2, $2, 1, 'invited')",
                vec![&user, DEVICE],
            ),
            (
                "INSERT INTO share_events (share_id, event, user_id, group_id, at)
                 VALUES ('s', 'opened', $1, $2, 1)",
                vec![&user, DEVICE],
            ),
        ] {
            let mut query = sqlx::query(statement);
            for value in values {
                query = query.bind(value.to_owned());
            }
            query.execute(self.database.pool()).await.unwrap();
        }
        // More than a page.
        for number in 0..120 {
            self.push(
                &number.to_string(),
                &format!(r#"{{"OpenID":"{OPEN_ID}","UnionID":"{UNION_ID}"}}"#),
            )
            .await;
        }
        self.push(
            "xml",
            &format!("<xml><ToUserOpenid>{OPEN_ID}</ToUserOpenid></xml>"),
        )
        .await;
    }

    async fn push(&self, key: &str, body: &str) {
        sqlx::query(
            "INSERT INTO pushes (id, duplicate_key, event, credential, mode, format, body, received_at, open_id)
             VALUES ($1, $2, 'x', 'main', 'secure', 'json', $3, 1, $4)",
        )
        .bind(Ulid::generate().to_string())
        .bind(key)
        .bind(body.as_bytes())
        .bind(OPEN_ID)
        .execute(self.database.pool())
        .await
        .unwrap();
    }

    /// The places that have personal data of the player.
    pub(crate) async fn found(&self) -> Vec<String> {
        search_database(self.test.url(), &PERSONAL).await
    }

    pub(crate) async fn number(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql)
            .fetch_one(self.database.pool())
            .await
            .unwrap()
    }
}

async fn sign_in(database: &Database, keyring: &Keyring) -> UserInfo {
    let exchanged = Code2Session {
        open_id: OpenId::new(OPEN_ID),
        session_key: SessionKey::new("HyVFkGl5F5OQWJZZaNzBBg==".into()),
        union_id: Some(UnionId::new(UNION_ID)),
    };
    let facts = SignInFacts {
        session: SessionId::new(),
        device_type: None,
        scene: None,
        touch: None,
    };
    let stored = sign_in::store(database, keyring, &exchanged, &facts, Timestamp::now()).await;
    stored.unwrap().user
}
