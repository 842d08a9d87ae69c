//! Errors of the database, by what a caller can do about them. An error is permanent only by proof: the
//! database said that this statement, with this data, will be rejected again. Anything else is an outage, and
//! is retried.

use sqlx::migrate::MigrateError;

use super::trust;

/// A database operation failed.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// The database is down or too slow; it may recover at any time.
    #[error("the database is unavailable: {0}")]
    Unavailable(sqlx::Error),
    /// The database answers but accepts no writes: it is a standby, or its sessions are read-only.
    #[error("the database is read-only")]
    ReadOnly,
    /// The database rejected a statement: a defect of the code or the data.
    #[error("the database rejected a statement: {0}")]
    Refused(sqlx::Error),
    /// The schema could not be migrated.
    #[error("the schema could not be migrated: {0}")]
    Migration(MigrateError),
    /// The folder of the SQLite file could not be created.
    #[error("the folder of the SQLite file could not be created: {0}")]
    Folder(std::io::Error),
    /// A stored value is invalid.
    #[error("a stored value is damaged: {0}")]
    Damaged(String),
}

impl DatabaseError {
    /// Whether a retry may succeed.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::ReadOnly)
    }

    /// Whether the database returned this error code (SQLSTATE, or SQLite's).
    pub fn has_code(&self, code: &str) -> bool {
        let (Self::Unavailable(error) | Self::Refused(error)) = self else {
            return false;
        };
        error
            .as_database_error()
            .is_some_and(|error| error.code().as_deref() == Some(code))
    }
}

impl From<sqlx::Error> for DatabaseError {
    fn from(error: sqlx::Error) -> Self {
        let fault = Fault::of(&error);
        if fault.spoils_connections() {
            // Here, since errors inside a transaction pass no other place of ours.
            trust::revoke();
        }
        match fault {
            Fault::Permanent => Self::Refused(error),
            _ => Self::Unavailable(error),
        }
    }
}

/// What an error shows about the statement and its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The statement would be rejected again.
    Permanent,
    /// It may succeed later, on the same connection too.
    Transient,
    /// The connection was lost; whether the statement had an effect is unknown.
    Lost,
    /// The statement had no effect and would have none on this connection: the server is read-only, or what
    /// was prepared there is outdated or missing.
    Outdated,
    /// The disk is full or fails; SQLite may have left the connection in any state.
    Disk,
}

impl Fault {
    pub(super) fn of(error: &sqlx::Error) -> Self {
        match error {
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::WorkerCrashed
            | sqlx::Error::Protocol(_) => Self::Lost,
            sqlx::Error::Database(reported) => match reported.code() {
                Some(code) if code.len() == 5 => Self::of_sqlstate(&code),
                Some(code) => Self::of_sqlite(&code, reported.message()),
                None => Self::Transient,
            },
            // Defects of our code or of the data, found by the driver.
            sqlx::Error::Configuration(_)
            | sqlx::Error::InvalidArgument(_)
            | sqlx::Error::RowNotFound
            | sqlx::Error::TypeNotFound { .. }
            | sqlx::Error::ColumnIndexOutOfBounds { .. }
            | sqlx::Error::ColumnNotFound(_)
            | sqlx::Error::ColumnDecode { .. }
            | sqlx::Error::Encode(_)
            | sqlx::Error::Decode(_)
            | sqlx::Error::AnyDriverError(_) => Self::Permanent,
            // The driver believes that the connection is in a transaction when it is not, or the reverse.
            sqlx::Error::InvalidSavePointStatement | sqlx::Error::BeginFailed => Self::Outdated,
            _ => Self::Transient,
        }
    }

    fn of_sqlstate(code: &str) -> Self {
        match code {
            // Read-only; "cached plan must not change result type", not during recovery; a prepared statement
            // that does not exist, or exists already.
            "25006" | "0A000" | "26000" | "42P05" => Self::Outdated,
            // A table, column or right that is missing while a release or an operator adds it.
            "42P01" | "42703" | "42501" => Self::Transient,
            // Shutdown, crash, startup; a session that was terminated while idle.
            "57P01" | "57P02" | "57P03" | "57P05" | "25P03" => Self::Lost,
            _ => match code.get(..2) {
                Some("08") => Self::Lost,
                // Cardinality, data exceptions, constraints, syntax, program limits.
                Some("21" | "22" | "23" | "42" | "54") => Self::Permanent,
                _ => Self::Transient,
            },
        }
    }

    /// By SQLite's primary code, the low byte of the extended ones.
    fn of_sqlite(code: &str, message: &str) -> Self {
        match code.parse::<u32>().map(|code| code & 0xff) {
            // Missing while a release adds it.
            Ok(1) if message.starts_with("no such") => Self::Transient,
            // BEGIN inside a transaction, COMMIT outside of one.
            Ok(1) if message.contains("transaction") => Self::Disk,
            // Syntax, a damaged file, too big, constraints, types, misuse, range, not a database.
            Ok(1 | 11 | 18 | 19 | 20 | 21 | 25 | 26) => Self::Permanent,
            // Out of memory, read-only, I/O, full, cannot open.
            Ok(7 | 8 | 10 | 13 | 14) => Self::Disk,
            _ => Self::Transient,
        }
    }

    /// Whether connections of now must not be used again.
    pub(super) fn spoils_connections(self) -> bool {
        matches!(self, Self::Lost | Self::Outdated | Self::Disk)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sqlstates_are_permanent_only_by_proof() {
        for (code, fault) in [
            ("0A000", Fault::Outdated),
            ("26000", Fault::Outdated),
            ("25006", Fault::Outdated),
            ("57P01", Fault::Lost),
            ("25P03", Fault::Lost),
            ("08006", Fault::Lost),
            ("42P01", Fault::Transient),
            ("42703", Fault::Transient),
            ("40P01", Fault::Transient),
            ("55P03", Fault::Transient),
            ("57014", Fault::Transient),
            ("53100", Fault::Transient),
            ("XX000", Fault::Transient),
            ("42601", Fault::Permanent),
            ("23505", Fault::Permanent),
            ("22021", Fault::Permanent),
        ] {
            assert_eq!(Fault::of_sqlstate(code), fault, "{code}");
        }
    }

    #[test]
    fn sqlite_codes_are_permanent_only_by_proof() {
        for (code, message, fault) in [
            ("5", "database is locked", Fault::Transient),
            ("517", "database is locked", Fault::Transient),
            ("13", "database or disk is full", Fault::Disk),
            ("778", "disk I/O error", Fault::Disk),
            ("14", "unable to open database file", Fault::Disk),
            ("1", "no such table: orders", Fault::Transient),
            (
                "1",
                "cannot start a transaction within a transaction",
                Fault::Disk,
            ),
            ("1", "near \"SELEC\": syntax error", Fault::Permanent),
            ("2067", "UNIQUE constraint failed", Fault::Permanent),
            ("11", "database disk image is malformed", Fault::Permanent),
        ] {
            assert_eq!(Fault::of_sqlite(code, message), fault, "{code} {message}");
        }
    }
}
