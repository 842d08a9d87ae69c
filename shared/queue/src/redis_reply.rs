//! The meaning of Redis' errors, for every user of Redis. An error is permanent only by proof: the
//! server says that the command itself is wrong, or its reply cannot be decoded. Every other refusal
//! ("not now": out of memory, disk full, failover, loading) is transient, including codes that this
//! version does not know.
//!
//! Some refusals also prove that this connection leads to a server that no longer serves writes. Behind
//! one address (a proxy, a virtual IP) only a new connection reaches its successor, so they end it.

use redis::{ErrorKind, RedisError, Value};

use crate::store::StoreError;

/// What a reply means for the caller and for the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    /// This server does not serve the command, but another one behind the same address may: transient,
    /// and the connection ends.
    WrongServer,
    /// The server did not execute the command now: transient.
    NotNow,
    /// The command is wrong, and would be refused again.
    Defect,
}

/// Error codes. Codes that are not listed mean [`Meaning::NotNow`]; `ERR` depends on the text.
const CODES: &[(&str, Meaning)] = &[
    // The server became a replica, or its clients were unblocked because it did.
    ("READONLY", Meaning::WrongServer),
    ("UNBLOCKED", Meaning::WrongServer),
    // A replica without its master; a primary without its replicas.
    ("MASTERDOWN", Meaning::WrongServer),
    ("NOREPLICAS", Meaning::WrongServer),
    ("CLUSTERDOWN", Meaning::WrongServer),
    ("LOADING", Meaning::WrongServer),
    // The connection is not authenticated: the server's users were changed.
    ("NOAUTH", Meaning::WrongServer),
    // Listed for the reader: the default.
    ("OOM", Meaning::NotNow),
    ("BUSY", Meaning::NotNow),
    ("MISCONF", Meaning::NotNow),
    ("TRYAGAIN", Meaning::NotNow),
    ("NOSCRIPT", Meaning::NotNow),
    ("NOGOODSLAVE", Meaning::NotNow),
    ("NOMASTERLINK", Meaning::NotNow),
    ("INPROG", Meaning::NotNow),
    ("IOERR", Meaning::NotNow),
    ("EXECABORT", Meaning::NotNow),
    ("WRONGPASS", Meaning::NotNow),
    ("DENIED", Meaning::NotNow),
    ("MOVED", Meaning::NotNow),
    ("ASK", Meaning::NotNow),
    ("WRONGTYPE", Meaning::Defect),
    ("CROSSSLOT", Meaning::Defect),
    ("NOPERM", Meaning::Defect),
    ("NOPROTO", Meaning::Defect),
    ("NOSUB", Meaning::Defect),
    ("NOTBUSY", Meaning::Defect),
];

/// Texts of `ERR` that prove a wrong command, in lower case.
const DEFECTS: &[&str] = &[
    "unknown command",
    "unknown subcommand",
    "wrong number of arguments",
    "syntax error",
    "no such key",
    "not an integer",
    "not a valid float",
    "out of range",
    "invalid",
    "not supported",
    "unsupported",
    "not allowed",
    "not permitted",
    "not available",
    "disabled",
    "compiling script",
    "user_script",
];

fn meaning_of(code: &str, text: &str) -> Meaning {
    let listed = |code: &str| CODES.iter().find(|(listed, _)| *listed == code);
    if code != "ERR" {
        return listed(code).map_or(Meaning::NotNow, |(_, meaning)| *meaning);
    }
    // Redis 6 wraps what a script's command was answered: `ERR Error running script (…): @user_script:
    // 1: -OOM command not allowed …`.
    let mut wrapped = text
        .split_whitespace()
        .filter_map(|word| word.strip_prefix('-'));
    if let Some((_, meaning)) = wrapped.find_map(listed) {
        return *meaning;
    }
    let text = text.to_ascii_lowercase();
    if DEFECTS.iter().any(|defect| text.contains(defect)) {
        Meaning::Defect
    } else {
        Meaning::NotNow
    }
}

/// The meaning of a reply from the server; none if it is not the server's.
fn reply_meaning(error: &RedisError) -> Option<Meaning> {
    let replies = error.clone().into_server_errors()?;
    let (_, reply) = replies.first()?;
    Some(meaning_of(
        reply.code(),
        reply.details().unwrap_or_default(),
    ))
}

/// Whether the same command may succeed later.
pub fn is_transient(error: &RedisError) -> bool {
    if let Some(meaning) = reply_meaning(error) {
        return meaning != Meaning::Defect;
    }
    !matches!(
        error.kind(),
        // Also the kind of a reply that does not have the expected type.
        ErrorKind::Parse
            | ErrorKind::UnexpectedReturnType
            | ErrorKind::InvalidClientConfig
            | ErrorKind::EmptySentinelList
            | ErrorKind::RESP3NotSupported
    )
}

/// Whether the reply shows that another server may serve the command.
pub(crate) fn is_wrong_server(error: &RedisError) -> bool {
    reply_meaning(error) == Some(Meaning::WrongServer)
}

/// Whether the connection on which this error was received must be replaced. Includes timeouts: the
/// server may be gone without having closed the connection.
pub(crate) fn ends_connection(error: &RedisError) -> bool {
    match reply_meaning(error) {
        Some(meaning) => meaning == Meaning::WrongServer,
        None => error.is_io_error() || error.is_unrecoverable_error(),
    }
}

/// The error of a command's result, which may also be a value.
pub(crate) fn error_of(reply: &Result<Value, RedisError>) -> Option<RedisError> {
    match reply {
        Ok(Value::ServerError(error)) => Some(error.clone().into()),
        Ok(_) => None,
        Err(error) => Some(error.clone()),
    }
}

impl From<RedisError> for StoreError {
    fn from(error: RedisError) -> Self {
        if is_transient(&error) {
            Self::Unavailable(error.to_string())
        } else {
            Self::Unexpected(error.to_string())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The error that the library makes of a reply.
    fn reply(line: &str) -> RedisError {
        let value = redis::parse_redis_value(format!("-{line}\r\n").as_bytes()).unwrap();
        value.extract_error().unwrap_err()
    }

    fn wrapped_by_redis_6(line: &str) -> RedisError {
        reply(&format!(
            "ERR Error running script (call to f_0a): @user_script:1: @user_script: 1: -{line}"
        ))
    }

    /// As Redis 7 sends them, and three that no version sends.
    const NOT_NOW: &[&str] = &[
        "OOM command not allowed when used memory > 'maxmemory'.",
        "OOM command not allowed when used memory > 'maxmemory'. script: 0a, on @user_script:4.",
        "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.",
        "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
        "TRYAGAIN Multiple keys request during rehashing of slot",
        "NOSCRIPT No matching script. Please use EVAL.",
        "MOVED 3999 127.0.0.1:6381",
        "WRONGPASS invalid username-password pair or user is disabled.",
        "ERR max number of clients reached",
        "ERR upstream failure",
        "UPSTREAM no healthy host",
        "NEWCODE of a later version",
    ];

    const WRONG_SERVER: &[&str] = &[
        "READONLY You can't write against a read only replica.",
        "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)",
        "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
        "NOREPLICAS Not enough good replicas to write.",
        "CLUSTERDOWN The cluster is down",
        "LOADING Redis is loading the dataset in memory",
        "NOAUTH Authentication required.",
    ];

    const DEFECT: &[&str] = &[
        "WRONGTYPE Operation against a key holding the wrong kind of value",
        "CROSSSLOT Keys in request don't hash to the same slot",
        "NOPERM this user has no permissions to run the 'config|get' command",
        "ERR unknown command 'CONFIG', with args beginning with: 'GET' 'appendonly'",
        "ERR wrong number of arguments for 'get' command",
        "ERR syntax error",
        "ERR value is not an integer or out of range",
        "ERR user_script:3: attempt to index a nil value script: 0a, on @user_script:3.",
    ];

    #[test]
    fn refusals_are_transient_and_the_connection_stays() {
        for line in NOT_NOW {
            let error = reply(line);
            assert!(is_transient(&error), "{line}");
            assert!(!ends_connection(&error), "{line}");
        }
    }

    #[test]
    fn replies_of_the_wrong_server_end_the_connection() {
        for line in WRONG_SERVER {
            for error in [reply(line), wrapped_by_redis_6(line)] {
                assert!(is_transient(&error), "{error}");
                assert!(ends_connection(&error), "{error}");
                assert!(is_wrong_server(&error), "{error}");
            }
        }
    }

    #[test]
    fn wrong_commands_are_permanent() {
        for line in DEFECT {
            let error = reply(line);
            assert!(!is_transient(&error), "{line}");
            assert!(!ends_connection(&error), "{line}");
            let error = StoreError::from(error);
            assert!(matches!(error, StoreError::Unexpected(_)), "{line}");
        }
    }

    #[test]
    fn refusal_of_a_command_in_a_redis_6_script_is_transient() {
        for line in ["OOM command not allowed", "MISCONF Redis is configured"] {
            assert!(is_transient(&wrapped_by_redis_6(line)), "{line}");
        }
        assert!(!is_transient(&wrapped_by_redis_6("WRONGTYPE Operation")));
    }

    #[test]
    fn broken_connections_are_transient_and_end() {
        use std::io::ErrorKind::{BrokenPipe, ConnectionRefused, PermissionDenied, TimedOut};
        for kind in [BrokenPipe, ConnectionRefused, PermissionDenied, TimedOut] {
            let error = RedisError::from(std::io::Error::from(kind));
            assert!(is_transient(&error) && ends_connection(&error), "{kind}");
        }
        let no_master = RedisError::from((ErrorKind::MasterNameNotFoundBySentinel, "no master"));
        assert!(is_transient(&no_master));
    }

    #[test]
    fn reply_of_another_type_is_permanent() {
        let error = redis::from_redis_value::<u64>(Value::SimpleString("OK".to_owned()));
        assert!(!is_transient(&error.unwrap_err().into()));
    }
}
