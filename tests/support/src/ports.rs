//! Free ports on 127.0.0.1, none of them handed out twice by one process.
//! They lie below the range that the system takes for outgoing connections: otherwise a client that
//! tries to reach a stopped server could be given the server's own port, and keep it.

use std::collections::HashSet;
use std::net::TcpListener;
use std::sync::{Mutex, PoisonError};

use ulid::Ulid;

const FIRST: u16 = 10_000;
const COUNT: u16 = 20_000;

static HANDED_OUT: Mutex<Option<HashSet<u16>>> = Mutex::new(None);

/// A port on 127.0.0.1 that nobody listens on and that this process has not been given before.
pub fn free_port() -> u16 {
    let mut handed_out = HANDED_OUT.lock().unwrap_or_else(PoisonError::into_inner);
    let handed_out = handed_out.get_or_insert_default();
    std::iter::repeat_with(random_port)
        .take(usize::from(COUNT))
        .find(|port| is_free(*port) && handed_out.insert(*port))
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
