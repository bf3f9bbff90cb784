//! Access keys of S3 clients, kept in the data folder.

use admin::{ControlError, CreateS3Key, ErrorKind, S3KeyReport};
use env::{Random, durable};
use identity::LocalFiles;
use s3::{AccessKey, Account, Accounts, canonical_id};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::Mutex;
use types::Cred;

/// The keys. Format: docs/formats/folder.md.
const FILE: &str = "s3-keys";
/// A file of more bytes is none of ours.
const FILE_BYTES_MAX: u64 = 16 << 20;
const VERSION: u32 = 1;
const KEYS_MAX: usize = 10_000;
const NAME_CHARS_MAX: usize = 64;
/// Whom an account uses files as when nobody has said so: nobody and nogroup.
const NOBODY: u32 = 65_534;
/// Of access keys: what nobody takes for another.
const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// Why the keys cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum S3KeysError {
    #[error("{path}: {error}")]
    Io { path: PathBuf, error: io::Error },
    #[error("{path}: not a file of keys of this version: {why}")]
    Damaged { path: PathBuf, why: String },
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    version: u32,
    #[serde(default)]
    key: Vec<Key>,
}

/// A key as the file has it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Key {
    access_key: String,
    secret_key: String,
    /// The account.
    name: String,
    /// A user of this machine, by name or number.
    user: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    email: Option<String>,
}

/// What is kept, and what of it is in force.
pub(crate) struct S3Keys {
    file: PathBuf,
    cluster: [u8; 16],
    random: Arc<dyn Random>,
    users: LocalFiles,
    kept: Mutex<Vec<Key>>,
    accounts: Accounts,
}

impl S3Keys {
    /// What the data folder has.
    pub(crate) fn read(
        folder: &Path,
        cluster: [u8; 16],
        random: Arc<dyn Random>,
    ) -> Result<S3Keys, S3KeysError> {
        let file = folder.join(FILE);
        let kept = match text(&file) {
            Ok(text) => parse(&file, &text)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(S3KeysError::Io { path: file, error }),
        };
        let accounts = Accounts::default();
        let keys =
            S3Keys { file, cluster, random, users: LocalFiles::system(), kept: Mutex::default(), accounts };
        keys.put_in_force(&kept);
        Ok(S3Keys { kept: Mutex::new(kept), ..keys })
    }

    /// For the head.
    pub(crate) fn accounts(&self) -> Accounts {
        self.accounts.clone()
    }

    /// Users may have come or gone.
    pub(crate) fn look_again(&self) {
        if let Ok(kept) = self.kept.try_lock() {
            self.put_in_force(&kept);
        }
    }

    fn put_in_force(&self, kept: &[Key]) {
        let keys = kept.iter().map(|key| AccessKey {
            id: key.access_key.clone(),
            secret: key.secret_key.clone(),
            account: Arc::new(self.account(key)),
        });
        self.accounts.replace(keys.collect());
    }

    fn account(&self, key: &Key) -> Account {
        Account {
            name: key.name.clone(),
            canonical_id: canonical_id(&self.cluster, &key.name),
            display_name: key.name.clone(),
            email: key.email.clone(),
            cred: self.cred(&key.user),
        }
    }

    /// A user of this machine with all its groups.
    fn cred(&self, user: &str) -> Option<Cred> {
        let accounts = match self.users.accounts() {
            Ok(accounts) => accounts,
            Err(error) => {
                tracing::error!(%error, "users cannot be looked up");
                return None;
            }
        };
        let uid = match user.parse() {
            Ok(uid) => uid,
            Err(_) => accounts.uid(user)?,
        };
        let gid = accounts.primary_gid(uid).or((uid == NOBODY).then_some(NOBODY)).unwrap_or(uid);
        Some(Cred { uid, gid, groups: accounts.groups_of(uid).unwrap_or_else(|| Arc::from([])) })
    }

    /// All keys, without secrets.
    pub(crate) async fn list(&self) -> Vec<S3KeyReport> {
        let kept = self.kept.lock().await;
        let mut keys: Vec<_> = kept.iter().map(|key| self.report(key, false)).collect();
        keys.sort_by(|a, b| (&a.name, &a.access_key).cmp(&(&b.name, &b.access_key)));
        keys
    }

    fn report(&self, key: &Key, secret: bool) -> S3KeyReport {
        S3KeyReport {
            access_key: key.access_key.clone(),
            secret_key: secret.then(|| key.secret_key.clone()),
            name: key.name.clone(),
            canonical_id: canonical_id(&self.cluster, &key.name),
            display_name: key.name.clone(),
            user: key.user.clone(),
            email: key.email.clone(),
        }
    }

    /// Makes a key, kept before it is told.
    pub(crate) async fn create(&self, request: CreateS3Key) -> Result<S3KeyReport, ControlError> {
        let invalid = |why: &str| Err(ControlError::new(ErrorKind::Invalid, why));
        let CreateS3Key { name, user, email } = request;
        let plain = |c: char| !c.is_control() && c != '/' && c != ':';
        if name.is_empty() || name.chars().count() > NAME_CHARS_MAX || !name.chars().all(plain) {
            return invalid(
                "an account has a name of 1 to 64 characters, none of them \"/\", \":\" or a control",
            );
        }
        if email.as_ref().is_some_and(|email| email.len() > 254 || !email.contains('@')) {
            return invalid("that is no e-mail address");
        }
        let mut kept = self.kept.lock().await;
        let known = kept.iter().find(|key| key.name == name).cloned();
        if let (Some(known), Some(user)) = (&known, &user)
            && known.user != *user
        {
            let why = format!("the account {name} uses files as {}; all its keys do", known.user);
            return Err(ControlError::new(ErrorKind::Conflict, why));
        }
        let of_account = known.as_ref().map(|known| known.user.clone());
        let user = user.or(of_account).unwrap_or_else(|| NOBODY.to_string());
        if self.cred(&user).is_none() {
            return Err(ControlError::new(ErrorKind::NotFound, format!("this machine has no user {user}")));
        }
        if kept.len() >= KEYS_MAX {
            return Err(ControlError::new(ErrorKind::Conflict, "there are 10,000 keys; take some back"));
        }
        let key = Key {
            access_key: self.draw(20),
            secret_key: self.draw(40),
            name,
            user,
            email: email.or(known.and_then(|known| known.email)),
        };
        let new = [&kept[..], std::slice::from_ref(&key)].concat();
        self.keep(&mut kept, new).await?;
        Ok(self.report(&key, true))
    }

    /// Takes a key back.
    pub(crate) async fn delete(&self, access_key: &str) -> Result<(), ControlError> {
        let mut kept = self.kept.lock().await;
        let new: Vec<Key> = kept.iter().filter(|key| key.access_key != access_key).cloned().collect();
        if new.len() == kept.len() {
            return Err(ControlError::new(ErrorKind::NotFound, format!("there is no key {access_key}")));
        }
        self.keep(&mut kept, new).await
    }

    async fn keep(&self, kept: &mut Vec<Key>, new: Vec<Key>) -> Result<(), ControlError> {
        let failed = |why: String| ControlError::new(ErrorKind::Failed, why);
        let text = toml::to_string(&Kept { version: VERSION, key: new.clone() });
        let text = text.map_err(|error| failed(error.to_string()))?;
        let file = self.file.clone();
        let written =
            tokio::task::spawn_blocking(move || durable::replace_secret(&file, text.as_bytes())).await;
        written
            .map_err(|error| failed(error.to_string()))?
            .map_err(|error| failed(format!("{}: {error}", self.file.display())))?;
        self.put_in_force(&new);
        *kept = new;
        Ok(())
    }

    /// Letters and digits that nobody can guess: 5 bits each.
    fn draw(&self, length: usize) -> String {
        let mut bytes = vec![0; length];
        self.random.fill(&mut bytes);
        bytes.iter().map(|byte| char::from(ALPHABET[usize::from(byte & 31)])).collect()
    }
}

fn parse(file: &Path, text: &str) -> Result<Vec<Key>, S3KeysError> {
    let damaged = |why: String| S3KeysError::Damaged { path: file.into(), why };
    let kept: Kept = toml::from_str(text).map_err(|error| damaged(error.message().to_owned()))?;
    if kept.version != VERSION {
        return Err(damaged(format!("version {}", kept.version)));
    }
    Ok(kept.key)
}

fn text(file: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(file)?.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "over 16 MiB"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use env::SystemRandom;
    use std::os::unix::fs::PermissionsExt;

    fn open(folder: &Path) -> S3Keys {
        S3Keys::read(folder, [7; 16], Arc::new(SystemRandom)).unwrap()
    }

    fn ask(name: &str, user: Option<&str>) -> CreateS3Key {
        CreateS3Key { name: name.to_owned(), user: user.map(str::to_owned), email: None }
    }

    #[tokio::test]
    async fn keys_are_kept_for_their_owner_alone_and_their_account_stays_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let keys = open(folder.path());
        let made = keys.create(ask("ann", Some("0"))).await.unwrap();
        let second = keys.create(ask("ann", None)).await.unwrap();
        assert_eq!((made.canonical_id.len(), second.user.as_str()), (64, "0"));
        assert_eq!(made.canonical_id, second.canonical_id);
        let mode = std::fs::metadata(folder.path().join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let again = open(folder.path());
        assert_eq!(again.list().await.len(), 2);
        assert_eq!(again.list().await[0].secret_key, None);
        again.delete(&made.access_key).await.unwrap();
        assert_eq!(again.delete(&made.access_key).await.unwrap_err().kind, ErrorKind::NotFound);
        assert_eq!(open(folder.path()).list().await[0].access_key, second.access_key);
    }

    #[tokio::test]
    async fn what_makes_no_key_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let keys = open(folder.path());
        for (name, user, kind) in [
            ("", None, ErrorKind::Invalid),
            ("a/b", None, ErrorKind::Invalid),
            ("a", Some("there-is-no-such-user"), ErrorKind::NotFound),
        ] {
            assert_eq!(keys.create(ask(name, user)).await.unwrap_err().kind, kind, "{name}");
        }
        keys.create(ask("a", None)).await.unwrap();
        assert_eq!(keys.create(ask("a", Some("0"))).await.unwrap_err().kind, ErrorKind::Conflict);
    }

    #[test]
    fn a_file_of_another_version_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        for (text, why) in [
            ("version = 2\n", "version 2"),
            ("version = 1\nmore = 1\n", "unknown field"),
            ("", "missing field"),
        ] {
            std::fs::write(folder.path().join(FILE), text).unwrap();
            let error =
                S3Keys::read(folder.path(), [0; 16], Arc::new(SystemRandom)).err().unwrap().to_string();
            assert!(error.contains(why), "{error}");
        }
    }
}
