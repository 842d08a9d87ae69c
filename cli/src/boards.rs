//! `avalon boards`: compares the index of leaderboards with the scores, builds it again, and ends windows. Each is safe
//! while the service runs, and repeating it changes nothing.

use avalon_core::social::boards::{
    BoardMetrics, BoardName, Boards, WindowId, WindowKey, open_windows,
};
use avalon_core::storage::database::Database;
use jiff::Timestamp;
use serde_json::json;

use crate::app::stores;
use crate::arguments::BoardsCommand;
use crate::config::Config;
use crate::failure::Failure;

pub(crate) async fn run(config: &Config, command: BoardsCommand) -> Result<(), Failure> {
    let redis = stores::redis(config)?;
    let database = Database::new(&config.database)?;
    let metrics = BoardMetrics::new(&prometheus::Registry::new())?;
    let index = stores::board_index(config, redis.as_ref());
    let boards = Boards::new(&database, index, &config.social, metrics);
    match command {
        // An index in the process is that of the service, and this is another process.
        BoardsCommand::Check { .. } | BoardsCommand::Rebuild { .. } if redis.is_none() => {
            Err(Failure::EmbeddedIndex)
        }
        BoardsCommand::Check { board, json } => {
            let windows = chosen(&database, board.as_ref()).await?;
            check(&boards, &windows, json).await
        }
        BoardsCommand::Rebuild { board } => {
            for window in chosen(&database, board.as_ref()).await? {
                let players = boards.rebuild(&window).await?;
                println!("{window}: {players} players");
            }
            Ok(())
        }
        BoardsCommand::Close { board, window } => close(&boards, &board, &window).await,
    }
}

/// The open windows of a board, or of all.
async fn chosen(database: &Database, board: Option<&BoardName>) -> Result<Vec<WindowId>, Failure> {
    let windows = open_windows(database).await?;
    let windows = windows.into_iter().map(|window| window.id);
    Ok(windows
        .filter(|id| board.is_none_or(|board| *board == id.board))
        .collect())
}

async fn check(boards: &Boards, windows: &[WindowId], as_json: bool) -> Result<(), Failure> {
    let (mut differences, mut found) = (0, Vec::new());
    for window in windows {
        let check = boards.check_all(window).await?;
        differences += check.differences;
        match as_json {
            true => found.push(json!({
                "board": window.board,
                "window": window.window,
                "compared": check.compared,
                "differences": check.differences,
            })),
            false => println!(
                "{window}: {} places compared, {} differ",
                check.compared, check.differences
            ),
        }
    }
    if as_json {
        println!("{}", serde_json::to_string_pretty(&found)?);
    }
    match usize::try_from(differences).unwrap_or(usize::MAX) {
        0 => Ok(()),
        differences => Err(Failure::Differences(differences)),
    }
}

async fn close(boards: &Boards, board: &BoardName, window: &WindowKey) -> Result<(), Failure> {
    let ended = boards.end_now(board, window, Timestamp::now()).await?;
    match ended.ended {
        0 => println!("{board}/{window} had ended already"),
        _ => println!(
            "{board}/{window} has ended; {} prizes granted",
            ended.prizes
        ),
    }
    Ok(())
}
