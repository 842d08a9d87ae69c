//! Sign-in, sessions, profiles, and the public keys of tokens.

pub(crate) mod keys;
pub(crate) mod login;
pub(crate) mod profile;
pub(crate) mod session;

use utoipa_axum::router::OpenApiRouter;

use crate::state::App;

pub(crate) fn players() -> OpenApiRouter<App> {
    profile::routes()
}

pub(crate) fn sign_out() -> OpenApiRouter<App> {
    session::logout_routes()
}

pub(crate) fn sign_in() -> OpenApiRouter<App> {
    login::routes().merge(session::refresh_routes())
}

pub(crate) fn documents() -> OpenApiRouter<App> {
    keys::routes()
}
