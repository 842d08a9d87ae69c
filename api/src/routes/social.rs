//! Scores, leaderboards, rewards, shares, groups, invitations and messages.

pub(crate) mod invites;
pub(crate) mod leaderboard;
pub(crate) mod rewards;
pub(crate) mod scores;
pub(crate) mod share;
pub(crate) mod share_group;
pub(crate) mod subscriptions;

use utoipa_axum::router::OpenApiRouter;

use crate::state::App;

pub(crate) fn players() -> OpenApiRouter<App> {
    share_group::routes()
        .merge(share::routes())
        .merge(invites::routes())
        .merge(subscriptions::routes())
        .merge(scores::routes())
        .merge(leaderboard::routes())
        .merge(rewards::routes())
}
