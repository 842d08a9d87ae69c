//! Players who sign in, with and without invitations.

use std::sync::Arc;
use std::time::Duration;

use avalon_core::accounts::sign_in::{SignInFacts, SignInWriter, SignedInPlayer};
use avalon_core::base::fen::Fen;
use avalon_core::base::ids::{SessionId, UserId};
use avalon_core::payments::inventory;
use avalon_core::payments::products::{self, Product};
use avalon_core::social::invites::attribution::{Attribution, Claim};
use avalon_core::social::invites::config::InvitesConfig;
use avalon_core::social::invites::settlement::{Assessment, DueInvite};
use avalon_core::social::invites::{InviteMetrics, InviteState, Invites, code_of};
use avalon_core::social::shares::config::ShareScenes;
use avalon_core::social::shares::{ShareIds, ShareMetrics, Shares};
use avalon_core::storage::config::DatabaseConfig;
use avalon_core::storage::database::Database;
use avalon_core::storage::keyring::{EncryptionKey, Keyring};
use avalon_test_support::TestDatabase;
use avalon_wechat::{Code2Session, OpenId, SessionKey};
use jiff::Timestamp;
use prometheus::Registry;
use serde_json::{Value, json};
use sqlx::Row;

/// Time for which shares are valid.
pub(crate) const SHARE_TTL: Duration = Duration::from_secs(30 * 24 * 3600);

#[derive(Clone)]
pub(crate) struct World {
    pub(crate) database: Database,
    pub(crate) shares: Shares,
    pub(crate) attribution: Attribution,
    players: SignInWriter,
    _test: Arc<TestDatabase>,
}

/// A row of `invites`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Invite {
    pub(crate) user: UserId,
    pub(crate) inviter: UserId,
    pub(crate) share: Option<String>,
    pub(crate) state: InviteState,
    pub(crate) number: Option<i64>,
}

impl World {
    pub(crate) async fn new(test: TestDatabase) -> Self {
        let config = DatabaseConfig {
            url: test.url().parse().unwrap(),
            ..DatabaseConfig::default()
        };
        let database = Database::new(&config).unwrap();
        database.migrate().await.unwrap();
        let keyring = Keyring::new(&EncryptionKey::generate().unwrap(), &[]).unwrap();
        let keyring = Arc::new(keyring);
        let ids = ShareIds::new(Arc::clone(&keyring), SHARE_TTL);
        let scenes: ShareScenes = serde_json::from_value(json!({
            "invite": {"title": "Play", "imageUrl": "images/a.png", "query": "level=3"},
        }))
        .unwrap();
        let metrics = ShareMetrics::new(&Registry::new()).unwrap();
        let week = Duration::from_secs(7 * 24 * 3600);
        for id in ["gems", "cup"] {
            let product = Product::new(id.parse().unwrap(), id, Fen::new(100).unwrap());
            products::put(&database, &product).await.unwrap();
        }
        Self {
            attribution: Attribution::new(ids.clone(), week),
            shares: Shares::new(database.clone(), ids, scenes, metrics),
            players: SignInWriter::spawn(&database, &keyring),
            database,
            _test: Arc::new(test),
        }
    }

    /// The invitations, as this configuration rewards them.
    pub(crate) fn invites(&self, config: &Value) -> Invites {
        let config: InvitesConfig = serde_json::from_value(config.clone()).unwrap();
        config.check().unwrap();
        let metrics = InviteMetrics::new(&Registry::new()).unwrap();
        Invites::new(self.database.clone(), config, metrics)
    }

    /// Signs a player in.
    pub(crate) async fn sign_in(
        &self,
        name: &str,
        share: Option<&str>,
        code: Option<&str>,
        device: Option<&str>,
    ) -> SignedInPlayer {
        let now = Timestamp::now();
        let exchanged = Code2Session {
            open_id: OpenId::new(name),
            session_key: SessionKey::new("HyVFkGl5F5OQWJZZaNzBBg==".into()),
            union_id: None,
        };
        let claim = Claim {
            share_id: share,
            invite_code: code,
            device,
            client_ip: Some([203, 0, 113, 7].into()),
        };
        let facts = SignInFacts {
            session: SessionId::new(),
            device_type: None,
            scene: None,
            touch: self.attribution.touch(claim, now),
        };
        self.players.store(&exchanged, &facts, now).await.unwrap()
    }

    /// Signs a player in without an invitation.
    pub(crate) async fn player(&self, name: &str) -> UserId {
        self.sign_in(name, None, None, None).await.user.id
    }

    pub(crate) async fn code(&self, user: UserId) -> String {
        let code = code_of(&self.database, user, Timestamp::now()).await;
        code.unwrap().to_string()
    }

    pub(crate) async fn share(&self, user: UserId) -> String {
        let (scene, now) = ("invite".parse().unwrap(), Timestamp::now());
        let card = self.shares.issue(user, &scene, Some("menu"), now).await;
        card.unwrap().share_id
    }

    /// Signs new players in by this code; returns their ids.
    pub(crate) async fn invited(&self, code: &str, prefix: &str, count: usize) -> Vec<UserId> {
        let mut players = Vec::new();
        for n in 0..count {
            let name = format!("{prefix}{n}");
            players.push(self.sign_in(&name, None, Some(code), None).await.user.id);
        }
        players
    }

    pub(crate) async fn rows(&self) -> Vec<Invite> {
        let rows = sqlx::query(
            "SELECT user_id, inviter_id, share_id, state, number FROM invites ORDER BY user_id",
        )
        .fetch_all(self.database.pool())
        .await
        .unwrap();
        let read = |row: &sqlx::any::AnyRow| Invite {
            user: row.get("user_id"),
            inviter: row.get("inviter_id"),
            share: row.get("share_id"),
            state: row.get("state"),
            number: row.get("number"),
        };
        rows.iter().map(read).collect()
    }

    pub(crate) async fn invite_of(&self, user: UserId) -> Option<Invite> {
        self.rows().await.into_iter().find(|row| row.user == user)
    }

    /// Number of gems that a player owns.
    pub(crate) async fn gems(&self, user: UserId) -> i64 {
        let items = inventory::items(&self.database, user).await.unwrap();
        let gems = items.iter().find(|item| item.product_id.as_str() == "gems");
        gems.map_or(0, |item| item.quantity)
    }
}

/// Settles all that is due, each invitation by several tasks at once; returns the states in any order.
pub(crate) async fn settle_all(invites: &Invites, tasks: usize) -> Vec<InviteState> {
    let now = Timestamp::now();
    let due = invites.due(now, 1000).await.unwrap();
    let settle = |invite: DueInvite| {
        let invites = invites.clone();
        tokio::spawn(async move {
            let settled = invites.settle(&invite, Assessment::Harmless, now);
            settled.await.unwrap()
        })
    };
    let all = due
        .iter()
        .flat_map(|invite| std::iter::repeat_n(invite.clone(), tasks));
    let running: Vec<_> = all.map(settle).collect();
    let mut states = Vec::new();
    for task in running {
        states.extend(task.await.unwrap());
    }
    states
}

/// Runs a test on both databases.
macro_rules! on_both {
    ($($name:ident),+ $(,)?) => {$(
        #[tokio::test]
        async fn $name() {
            for test in avalon_test_support::TestDatabase::both().await {
                let engine = test.engine();
                let world = crate::world::World::new(test).await;
                eprintln!("on {engine}");
                on::$name(world).await;
            }
        }
    )+};
}
pub(crate) use on_both;
