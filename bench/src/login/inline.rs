//! A sign-in without API, queue and workers: the same handler, called directly in this process, with the
//! same simulator and database. The difference in latency is what API and queue add.

use std::sync::Arc;

use avalon::app::App;
use avalon::config::{Config, Role};
use avalon_core::jobs::Login;
use avalon_queue::{JobContext, JobId};
use avalon_test_support::FleetSettings;
use avalon_workers::{Services, login};

use crate::Outcome;

/// The handler's dependencies, configured like the fleet's workers.
#[derive(Clone)]
pub(super) struct Inline(Arc<Services>);

impl Inline {
    pub(super) async fn new(settings: &FleetSettings) -> Outcome<Self> {
        let config = Config::load(None, settings.environment(), Role::Workers)?;
        let app = App::build(config, Role::Workers).await?;
        Ok(Self(Arc::new(app.services()?)))
    }

    pub(super) async fn sign_in(&self, code: &str) -> Outcome<()> {
        let login = Login {
            code: code.to_owned(),
            device_id: None,
            device_type: None,
            invite_code: None,
            share_id: None,
            client_ip: None,
            scene: None,
        };
        let context = JobContext {
            id: JobId::generate(),
            attempt: 1,
            max_attempts: 1,
            version: 1,
            enqueued_at: 0,
            owner: None,
            traceparent: None,
        };
        match login::handle(Arc::clone(&self.0), login, context).await {
            Ok(_) => Ok(()),
            Err(error) => Err(format!("{error:?}").into()),
        }
    }
}
