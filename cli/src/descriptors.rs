//! File descriptors: raises the process's limit at the start, and reserves a part of them, so that clients
//! of the public API cannot take those of the stores, the workers and the operators.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::Config;

/// For the operators' listener (128), Redis, files, and calls to WeChat and the game server; the database's
/// connections are added.
const RESERVED: u64 = 512;

/// Raises the limit as far as needed and permitted; returns the number of connections that fit.
pub(crate) fn provide(config: &Config) -> u32 {
    let wanted = config.http.max_connections;
    let reserved = RESERVED + u64::from(config.database.max_connections);
    let limit = getrlimit(Resource::Nofile);
    let raised = raised(limit, reserved + u64::from(wanted));
    let available = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => raised.current,
        Err(error) => {
            tracing::warn!(%error, "the limit of open files was not raised");
            limit.current
        }
    };
    let connections = share(available, reserved, wanted);
    if connections < wanted {
        tracing::warn!(
            connections,
            wanted,
            open_files = available,
            "fewer connections than http.max_connections: raise the hard limit of open files (ulimit -Hn)"
        );
    }
    connections
}

/// The limit with room for this number of descriptors, as far as the hard limit permits. `None` is
/// unlimited.
fn raised(limit: Rlimit, needed: u64) -> Rlimit {
    let permitted = limit.maximum.map_or(needed, |maximum| maximum.min(needed));
    Rlimit {
        current: limit.current.map(|current| current.max(permitted)),
        maximum: limit.maximum,
    }
}

/// The number of connections for which descriptors are left. Of a very low limit, half.
fn share(available: Option<u64>, reserved: u64, wanted: u32) -> u32 {
    let Some(available) = available else {
        return wanted;
    };
    let left = available.saturating_sub(reserved).max(available / 2);
    u32::try_from(left).map_or(wanted, |left| wanted.min(left).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limit_is_raised_as_far_as_permitted() {
        let limit = |current, maximum| Rlimit { current, maximum };
        let raise = |current, maximum| raised(limit(current, maximum), 5000);
        assert_eq!(raise(Some(1024), None).current, Some(5000));
        assert_eq!(raise(Some(1024), Some(4096)).current, Some(4096));
        // It is never lowered.
        assert_eq!(raise(Some(9000), Some(9000)).current, Some(9000));
        assert_eq!(raise(None, None).current, None);
        assert_eq!(raise(Some(1024), Some(4096)).maximum, Some(4096));
    }

    #[test]
    fn descriptors_are_reserved_before_connections() {
        assert_eq!(share(None, 528, 4096), 4096);
        assert_eq!(share(Some(20_000), 528, 4096), 4096);
        assert_eq!(share(Some(4624), 528, 4096), 4096);
        assert_eq!(share(Some(4096), 528, 4096), 3568);
        assert_eq!(share(Some(1024), 528, 4096), 512);
        assert_eq!(share(Some(256), 528, 4096), 128);
        assert_eq!(share(Some(256), 528, 64), 64);
        assert_eq!(share(Some(0), 528, 4096), 1);
    }
}
