//! Scores, leaderboards, rewards, shares and groups.

pub(crate) mod leaderboard;
pub(crate) mod rewards;
pub(crate) mod scores;
pub(crate) mod share_group;

use utoipa_axum::router::OpenApiRouter;

use crate::state::App;

pub(crate) fn players() -> OpenApiRouter<App> {
    share_group::routes()
        .merge(scores::routes())
        .merge(leaderboard::routes())
        .merge(rewards::routes())
}
