//! A WeChat platform simulator for development and tests: the real protocol, strict where WeChat is
//! strict, with injectable faults.
//!
//! It does not depend on the service under test, and is not for production. [`JsCode`] documents
//! the sign-in codes, the README the control routes under `/_sim/`. With [`SimulatorSettings::pay`]
//! it also simulates WeChat Pay for one merchant, with [`SimulatorSettings::virtual_payment`] virtual
//! payment and its pushes.

mod client_data;
mod code2session;
mod codes;
mod connection;
mod control;
mod faults;
mod header_case;
mod pay;
mod platform;
mod players;
mod quota;
mod requests;
mod settings;
mod state;
mod vpay;
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
pub use players::openid;
pub use settings::{Behaviour, ContentType, SessionKeyRotation, SimulatorSettings};
pub use vpay::{VirtualPaymentCredentials, VirtualPaymentSimulatorSettings};

use crate::connection::{Connection, ResettableListener};
use crate::state::World;

/// A simulated WeChat platform. Clones share their state.
#[derive(Clone)]
pub struct Simulator {
    world: Arc<World>,
}

impl Simulator {
    /// Creates a platform with one app.
    pub fn new(settings: SimulatorSettings) -> Self {
        Self {
            world: Arc::new(World::new(settings)),
        }
    }

    /// Returns all routes: WeChat's APIs and the control routes under `/_sim/`.
    ///
    /// Unless [`Simulator::serve`] serves them, header names are lower-case, idle connections stay
    /// open, and a "reset" is a response that breaks off in its body: all of this needs control over
    /// the connection.
    pub fn router(&self) -> Router {
        let control = control::routes(&self.world).merge(client_data::routes(&self.world));
        let routes = Router::new()
            .merge(code2session::routes(&self.world))
            .merge(platform::routes(&self.world))
            .nest("/_sim", control);
        let routes = match &self.world.settings.pay {
            Some(settings) => routes.merge(pay::routes(&self.world, settings)),
            None => routes,
        };
        match &self.world.settings.virtual_payment {
            Some(settings) => routes.merge(vpay::routes(&self.world, settings)),
            None => routes,
        }
    }

    /// Serves until `shutdown` completes, then releases held responses and returns once the
    /// remaining requests are done.
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
