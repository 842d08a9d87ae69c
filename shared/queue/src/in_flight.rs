//! The jobs that a pool is running: the leases to renew, and the tasks to abort when a lease is lost
//! or the pool's grace period ends.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::task::AbortHandle;

use crate::store::Lease;

#[derive(Clone, Default)]
pub(crate) struct InFlight {
    jobs: Arc<Mutex<HashMap<Lease, Option<AbortHandle>>>>,
}

impl InFlight {
    /// Registers the lease until the guard is dropped.
    pub(crate) fn hold(&self, lease: Lease) -> Held {
        self.lock().insert(lease.clone(), None);
        Held {
            lease,
            jobs: self.clone(),
        }
    }

    /// Sets the abort handle of the attempt that runs under this lease.
    pub(crate) fn running(&self, lease: &Lease, abort: AbortHandle) {
        if let Some(slot) = self.lock().get_mut(lease) {
            *slot = Some(abort);
        }
    }

    pub(crate) fn leases(&self) -> Vec<Lease> {
        self.lock().keys().cloned().collect()
    }

    pub(crate) fn abort(&self, lease: &Lease) {
        if let Some(Some(abort)) = self.lock().get(lease) {
            abort.abort();
        }
    }

    pub(crate) fn abort_all(&self) {
        for abort in self.lock().values().flatten() {
            abort.abort();
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Lease, Option<AbortHandle>>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) struct Held {
    lease: Lease,
    jobs: InFlight,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.jobs.lock().remove(&self.lease);
    }
}
