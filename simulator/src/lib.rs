//! A WeChat platform to develop and test against: the real protocol, strict where WeChat is strict,
//! with faults on demand.
//!
//! It knows nothing of the service that it is used by, and nothing here is for production. What codes
//! it takes is written in [`JsCode`]; what its control routes under `/_sim/` do, in its README. With
//! [`SimulatorSettings::pay`] it is WeChat Pay for one merchant too.

mod client_data;
mod code2session;
mod codes;
mod connection;
mod control;
mod faults;
mod pay;
mod platform;
mod players;
mod quota;
mod requests;
mod settings;
mod state;
mod wire;

use std::io;
use std::sync::Arc;

use axum::Router;
use tokio::net::TcpListener;

pub use codes::JsCode;
pub use pay::{
    DuplicateError, KeyMode, OrderPaidCode, PayBehaviour, PayCredentials, PayMerchant,
    PaySetupError, PaySimulatorSettings, RefundOutcome,
};
pub use settings::{Behaviour, ContentType, SessionKeyRotation, SimulatorSettings};

use crate::connection::{Connection, ResettableListener};
use crate::state::World;

/// A simulated WeChat platform. Clones are the same platform.
#[derive(Clone)]
pub struct Simulator {
    world: Arc<World>,
}

impl Simulator {
    /// Makes a platform that knows one app.
    pub fn new(settings: SimulatorSettings) -> Self {
        Self {
            world: Arc::new(World::new(settings)),
        }
    }

    /// All routes: WeChat's APIs and the control routes under `/_sim/`.
    ///
    /// Served otherwise than by [`Simulator::serve`], a "reset" is an answer that breaks off in its
    /// body, since only the connection itself can be reset before its first byte.
    pub fn router(&self) -> Router {
        let control = control::routes(&self.world).merge(client_data::routes(&self.world));
        let routes = Router::new()
            .merge(code2session::routes(&self.world))
            .merge(platform::routes(&self.world))
            .nest("/_sim", control);
        match &self.world.settings.pay {
            Some(settings) => routes.merge(pay::routes(&self.world, settings)),
            None => routes,
        }
    }

    /// Serves until `shutdown` is ready, then cuts the answers that are being held back and returns
    /// when the others are done.
    ///
    /// # Errors
    /// When the listener fails.
    pub async fn serve(
        self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> io::Result<()> {
        let routes = self
            .router()
            .into_make_service_with_connect_info::<Connection>();
        axum::serve(ResettableListener(listener), routes)
            .with_graceful_shutdown(async move {
                shutdown.await;
                self.world.stop();
            })
            .await
    }
}
