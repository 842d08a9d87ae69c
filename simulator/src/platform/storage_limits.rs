//! The limits of a player's cloud storage.

use std::collections::BTreeMap;

use crate::wire::errcode;

const MAX_PAIRS: usize = 128;
/// Of a key and its value together, in bytes.
const MAX_PAIR: usize = 1024;
const MAX_KEY: usize = 128;
/// Of all pairs of a player, in bytes; as many as the others allow.
const MAX_TOTAL: usize = MAX_PAIRS * MAX_PAIR;

/// Checks one pair.
pub(super) fn check_pair(key: &str, value: &str) -> Result<(), i64> {
    if key.len() > MAX_KEY {
        return Err(errcode::STORAGE_KEY);
    }
    if key.len() + value.len() > MAX_PAIR {
        return Err(errcode::STORAGE_PAIR);
    }
    Ok(())
}

/// Checks all pairs of a player.
pub(super) fn check_all(pairs: &BTreeMap<String, String>) -> Result<(), i64> {
    if pairs.len() > MAX_PAIRS {
        return Err(errcode::STORAGE_COUNT);
    }
    let total: usize = pairs
        .iter()
        .map(|(key, value)| key.len() + value.len())
        .sum();
    if total > MAX_TOTAL {
        return Err(errcode::STORAGE_TOTAL);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_has_its_code() {
        assert_eq!(check_pair("k", &"v".repeat(1023)), Ok(()));
        assert_eq!(check_pair("k", &"v".repeat(1024)), Err(87016));
        assert_eq!(check_pair(&"k".repeat(129), ""), Err(87019));
        let pairs = |count: usize| (0..count).map(|n| (n.to_string(), String::new())).collect();
        assert_eq!(check_all(&pairs(128)), Ok(()));
        assert_eq!(check_all(&pairs(129)), Err(87018));
        let total = BTreeMap::from([("k".to_owned(), "v".repeat(MAX_TOTAL))]);
        assert_eq!(check_all(&total), Err(87017));
    }
}
