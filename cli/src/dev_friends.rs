//! Friends of Alice and Bob in `avalon dev`, who have played before: in WeChat's ranking and on the default board.

use std::collections::BTreeMap;
use std::sync::Arc;

use avalon_core::accounts::sample_players;
use avalon_core::social::boards::{Board, BoardName, BoardSettings, NewScore};
use avalon_simulator::SimulatorSettings;
use avalon_wechat::OpenId;
use jiff::Timestamp;
use serde_json::json;

use crate::app::App;
use crate::config::Config;
use crate::failure::Failure;

/// The default board, and the key of the friends ranking in which its scores are.
const BOARD: &str = "score";
/// Players who sign in in the documents and in the playground.
const PLAYERS: [&str; 2] = ["alice", "bob"];
/// Their friends: name at the simulator, nickname, score.
const FRIENDS: [(&str, &str, i64); 3] = [("mei", "Mei", 23), ("tao", "Tao", 16), ("lan", "Lan", 9)];

/// Writes the scores of the default board to the friends ranking, unless the board is configured.
pub(crate) fn fill(config: &mut Config) {
    for (name, board) in &mut config.social.boards.0 {
        if name.as_str() == BOARD && *board == BoardSettings::default() {
            board.hosted_key = Some(BOARD.to_owned());
        }
    }
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

/// Adds the friends to a database without players, with their scores on the default board. They exist at the simulator only.
pub(crate) async fn seed(app: &App) -> Result<(), Failure> {
    let simulator = format!("http://{}", app.config.simulator.listen);
    let wechat = app.config.wechat.api_base.as_str().trim_end_matches('/');
    let Some(app_id) = app
        .config
        .wechat
        .app_id
        .as_ref()
        .filter(|_| wechat == simulator)
    else {
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
    let board = Arc::new(board);
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
