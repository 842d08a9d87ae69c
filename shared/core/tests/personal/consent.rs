//! Profiles that WeChat cleaned, and consent that was withdrawn.

use avalon_core::accounts::profiles::{Fields, Source, Update, rows};
use avalon_core::accounts::users;
use avalon_core::personal::consent;
use avalon_test_support::TestDatabase;
use avalon_wechat::OpenId;
use jiff::Timestamp;

use crate::player::{NICKNAME, OPEN_ID, Player};

#[tokio::test]
async fn cleaned_profile_is_empty_until_the_client_submits_it_again() {
    for test in TestDatabase::both().await {
        let player = Player::on(test).await;
        player.fill().await;
        let (database, open_id, now) = (&player.database, OpenId::new(OPEN_ID), Timestamp::now());
        assert!(
            consent::clear_profile(database, &open_id, now)
                .await
                .unwrap()
        );
        let user = users::by_open_id(database, &open_id)
            .await
            .unwrap()
            .unwrap();
        assert_eq!((user.nickname, user.avatar_url), (None, None));
        assert_eq!(user.country.as_deref(), Some("CN"), "the rest is kept");
        // Older than what was cleared, and of the weaker source.
        let update = Update {
            fields: Fields {
                nickname: Some(NICKNAME.to_owned()),
                ..Fields::default()
            },
            standing: (Source::Raw, Timestamp::UNIX_EPOCH),
            union_id: None,
        };
        let updated = rows::update(database, &open_id, &update, false, now).await;
        assert_eq!(
            updated.unwrap().unwrap().user.nickname.as_deref(),
            Some(NICKNAME)
        );
        let unknown = OpenId::new("oUnknown");
        assert!(
            !consent::clear_profile(database, &unknown, now)
                .await
                .unwrap()
        );
    }
}

#[tokio::test]
async fn withdrawn_consent_deletes_the_profile_and_its_places() {
    for test in TestDatabase::both().await {
        let player = Player::on(test).await;
        player.fill().await;
        player.report("e1").await;
        let (database, open_id, now) = (&player.database, OpenId::new(OPEN_ID), Timestamp::now());
        let places = "SELECT count(*) FROM analytics_events WHERE country IS NOT NULL";
        assert_eq!(player.number(places).await, 1);
        assert!(consent::withdraw(database, &open_id, now).await.unwrap());
        assert_eq!(player.number(places).await, 0);
        let user = users::by_open_id(database, &open_id)
            .await
            .unwrap()
            .unwrap();
        assert_eq!((user.nickname, user.country, user.city), (None, None, None));
        assert!(user.union_id.is_some(), "the account stays");
        assert!(
            !consent::withdraw(database, &OpenId::new("oUnknown"), now)
                .await
                .unwrap()
        );
    }
}
