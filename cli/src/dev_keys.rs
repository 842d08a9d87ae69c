//! The keys of `avalon dev`, made at its first start and kept beside its data, so that tokens and
//! sealed data outlive a restart. Not for production: there, keys are configured.

use std::{fs, io, io::Write, path::Path};

use crate::config::Config;
use avalon_core::accounts::tokens::{KeyError, SigningKey};
use avalon_core::storage::database::make_private;
use avalon_core::storage::keyring::{EncryptionKey, KeyringError};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

/// One file, so that there are always all keys or none.
const FILE: &str = "dev-keys.toml";

/// Keys for developers.
#[derive(Debug, Clone)]
pub(crate) struct DevKeys {
    /// Signs tokens.
    pub signing_key: SigningKey,
    /// Seals secrets of players.
    pub encryption_key: EncryptionKey,
    /// Opens the admin routes.
    pub admin_token: SecretString,
}

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DevKeysError {
    /// The directory or the file can't be used.
    #[error("the keys of dev in {file}: {reason}")]
    Io {
        /// The file.
        file: String,
        /// What the system says.
        reason: io::Error,
    },
    /// The file was changed or damaged.
    #[error("the keys of dev in {file} can't be read: delete the file to get new ones")]
    Damaged {
        /// The file.
        file: String,
    },
    /// No signing key could be made.
    #[error(transparent)]
    SigningKey(#[from] KeyError),
    /// No random bytes were to be had.
    #[error(transparent)]
    Random(#[from] KeyringError),
}

#[derive(Serialize, Deserialize)]
struct Stored {
    signing_key: String,
    encryption_key: String,
    admin_token: String,
}

impl DevKeys {
    /// Reads the keys in a directory, or makes directory and keys. Of several processes that do so
    /// at once, all get the keys of the first.
    ///
    /// # Errors
    /// When the directory can't be written to or the file in it makes no sense.
    pub(crate) fn load_or_create(dir: &Path) -> Result<Self, DevKeysError> {
        let path = dir.join(FILE);
        let file = path.display().to_string();
        let io_error = |reason| DevKeysError::Io {
            file: file.clone(),
            reason,
        };

        make_private(dir).map_err(io_error)?;
        if !path.try_exists().map_err(io_error)? {
            let text = Stored::generate()?.to_toml();
            create_whole(dir, &path, &text).map_err(io_error)?;
        }
        let text = fs::read_to_string(&path).map_err(io_error)?;
        Self::parse(&text).ok_or(DevKeysError::Damaged { file })
    }

    /// Fills in what is not configured.
    pub(crate) fn fill(&self, config: &mut Config) {
        config
            .auth
            .signing_key
            .get_or_insert_with(|| self.signing_key.clone());
        config
            .storage
            .encryption_key
            .get_or_insert_with(|| self.encryption_key.clone());
        config
            .admin
            .token
            .get_or_insert_with(|| self.admin_token.clone());
    }

    fn parse(text: &str) -> Option<Self> {
        let stored: Stored = toml::from_str(text).ok()?;
        Some(Self {
            signing_key: stored.signing_key.parse().ok()?,
            encryption_key: stored.encryption_key.parse().ok()?,
            admin_token: Some(stored.admin_token)
                .filter(|token| !token.is_empty())?
                .into(),
        })
    }
}

impl Stored {
    fn generate() -> Result<Self, DevKeysError> {
        Ok(Self {
            signing_key: SigningKey::generate_pem()?.expose_secret().to_owned(),
            encryption_key: EncryptionKey::generate()?
                .to_base64()
                .expose_secret()
                .to_owned(),
            admin_token: random_hex()?,
        })
    }

    fn to_toml(&self) -> String {
        format!(
            "# Made by `avalon dev`. Not for production.\n{}",
            toml::to_string_pretty(self).unwrap_or_default()
        )
    }
}

fn random_hex() -> Result<String, KeyringError> {
    let mut bytes = [0; 24];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| KeyringError::Library)?;
    Ok(hex::encode(bytes))
}

/// Creates a file with all its content at once, for its owner only (that is how temporary files are
/// made). Does nothing when another process was first.
fn create_whole(dir: &Path, path: &Path, text: &str) -> io::Result<()> {
    let mut temporary = tempfile::NamedTempFile::new_in(dir)?;
    temporary.write_all(text.as_bytes())?;
    temporary.as_file().sync_all()?;
    match temporary.persist_noclobber(path) {
        Ok(_) => Ok(()),
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error.error),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn same(a: &DevKeys, b: &DevKeys) -> bool {
        a.signing_key.id() == b.signing_key.id()
            && a.encryption_key.id() == b.encryption_key.id()
            && a.admin_token.expose_secret() == b.admin_token.expose_secret()
    }

    #[test]
    fn keys_are_made_once_and_kept_for_their_owner() {
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().join("data");
        let first = DevKeys::load_or_create(&dir).unwrap();
        assert!(same(&first, &DevKeys::load_or_create(&dir).unwrap()));
        let mode = fs::metadata(dir.join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(
            fs::read_dir(&dir).unwrap().count(),
            1,
            "no temporary file is left"
        );
    }

    #[test]
    fn starts_at_the_same_time_agree() {
        let dir = tempfile::tempdir().unwrap();
        let keys: Vec<_> = std::thread::scope(|scope| {
            let starts: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| DevKeys::load_or_create(dir.path())))
                .collect();
            starts
                .into_iter()
                .map(|start| start.join().unwrap().unwrap())
                .collect()
        });
        assert!(keys.iter().all(|other| same(&keys[0], other)));
    }

    #[test]
    fn a_damaged_file_is_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(FILE), "signing_key = 'cut off").unwrap();
        let error = DevKeys::load_or_create(dir.path()).unwrap_err();
        assert!(matches!(error, DevKeysError::Damaged { .. }));
    }

    #[test]
    fn what_is_configured_stays() {
        let dir = tempfile::tempdir().unwrap();
        let keys = DevKeys::load_or_create(dir.path()).unwrap();
        let mut config = Config::default();
        config.admin.token = Some("configured".into());
        keys.fill(&mut config);
        assert_eq!(config.admin.token.unwrap().expose_secret(), "configured");
        assert_eq!(config.auth.signing_key.unwrap().id(), keys.signing_key.id());
        assert_eq!(
            config.storage.encryption_key.unwrap().id(),
            keys.encryption_key.id()
        );
    }
}
