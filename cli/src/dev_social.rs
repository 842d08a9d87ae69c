//! Samples of the social features for `avalon dev`, unless they are configured: what the playground plays with, and
//! friends of Alice and Bob who have played before.

use std::collections::BTreeMap;

use avalon_core::accounts::sample_players;
use avalon_core::social::boards::{Board, BoardName, BoardSettings, NewScore};
use avalon_core::social::invites::config::{InvitesConfig, Milestone};
use avalon_core::social::rewards::RewardItem;
use avalon_simulator::SimulatorSettings;
use avalon_wechat::OpenId;
use jiff::Timestamp;
use serde_json::json;

use crate::app::App;
use crate::config::Config;
use crate::failure::Failure;

/// The event that an invited player must reach.
const MILESTONE: &str = "level_5";
/// A sample product.
const REWARD: &str = "gems-60";
/// The default board, and the key of the friends ranking in which its scores are.
const BOARD: &str = "score";
/// Players who sign in in the documents and in the playground.
const PLAYERS: [&str; 2] = ["alice", "bob"];
/// Their friends: name at the simulator, nickname, score.
const FRIENDS: [(&str, &str, i64); 3] = [("mei", "Mei", 23), ("tao", "Tao", 16), ("lan", "Lan", 9)];

/// Rewards the inviter and the invited player with one sample product each, and writes scores to the friends ranking.
pub(crate) fn fill(config: &mut Config) -> Result<(), Failure> {
    let social = &mut config.social;
    if social.invites == InvitesConfig::default() {
        let product_id = REWARD.parse().map_err(|error| Failure::Setting {
            key: "social.invites",
            problem: format!("{error}"),
        })?;
        let reward = vec![RewardItem {
            product_id,
            quantity: 1,
        }];
        social.invites.milestone = Some(Milestone::Event(MILESTONE.to_owned()));
        social.invites.inviter = reward.clone();
        social.invites.invited = reward;
    }
    for board in social.boards.0.values_mut() {
        if *board == BoardSettings::default() {
            board.hosted_key = Some(BOARD.to_owned());
        }
    }
    Ok(())
}

/// Adds the friends to the simulator: they have signed in before, and WeChat's cloud storage has their scores.
pub(crate) fn befriend(settings: &mut SimulatorSettings) {
    for (name, _, score) in FRIENDS {
        let now = Timestamp::now().as_second();
        let value = json!({"wxgame": {"score": score, "update_time": now}}).to_string();
        let data = BTreeMap::from([(BOARD.to_owned(), value)]);
        settings.hosted.insert(name.to_owned(), data);
        let pairs = PLAYERS.map(|player| (player.to_owned(), name.to_owned()));
        settings.friends.extend(pairs);
    }
    let [alice, bob] = PLAYERS.map(str::to_owned);
    settings.friends.push((alice, bob));
}

/// Adds the friends to a database without players, with their scores on the default board.
pub(crate) async fn seed(app: &App) -> Result<(), Failure> {
    let Some(app_id) = &app.config.wechat.app_id else {
        return Ok(());
    };
    let now = Timestamp::now();
    let open_id = |name| OpenId::new(avalon_simulator::openid(app_id, name));
    let players = FRIENDS.map(|(name, nickname, _)| (open_id(name), nickname));
    let players = sample_players::insert(&app.database, &players, now).await?;
    let Ok(name) = BOARD.parse::<BoardName>() else {
        return Ok(());
    };
    // The simulator has the scores already; without session keys they could not be written.
    let Ok(board) = Board::new(name, BoardSettings::default()) else {
        return Ok(());
    };
    let board = std::sync::Arc::new(board);
    for (user, (_, _, score)) in players.into_iter().zip(FRIENDS) {
        let score = NewScore {
            user,
            score,
            extra: None,
            run: None,
            key: None,
            trusted: true,
        };
        app.boards.submit(&board, score, now).await?;
    }
    Ok(())
}
