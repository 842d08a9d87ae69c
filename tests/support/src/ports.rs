//! Free ports on 127.0.0.1, each allocated once per process. They are below the ephemeral port range:
//! otherwise a client that connects to a stopped server could be given the server's own port as its source
//! port and block it.

use std::collections::HashSet;
use std::net::TcpListener;
use std::sync::{Mutex, PoisonError};

use ulid::Ulid;

const FIRST: u16 = 10_000;
const COUNT: u16 = 20_000;

static ALLOCATED: Mutex<Option<HashSet<u16>>> = Mutex::new(None);

/// Returns a port on 127.0.0.1 without a listener that was not returned before in this process.
pub fn free_port() -> u16 {
    let mut allocated = ALLOCATED.lock().unwrap_or_else(PoisonError::into_inner);
    let allocated = allocated.get_or_insert_default();
    std::iter::repeat_with(random_port)
        .take(usize::from(COUNT))
        .find(|port| is_free(*port) && allocated.insert(*port))
        .expect("no free port on 127.0.0.1")
}

fn random_port() -> u16 {
    let offset = Ulid::generate().0 % u128::from(COUNT);
    FIRST + u16::try_from(offset).expect("smaller than COUNT")
}

fn is_free(port: u16) -> bool {
    TcpListener::bind(("127.0.0.1", port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_free_and_unique() {
        let ports: HashSet<u16> = (0..500).map(|_| free_port()).collect();
        assert_eq!(ports.len(), 500);
        assert!(ports.into_iter().all(is_free));
    }
}
