//! What is exported: what the configuration says, and over it what was set while running.

use admin::{ControlError, ErrorKind, ExportReport, ExportSource, SetExport};
use config::{ConfigError, Given};
use env::durable;
use nfs::{ExportError, ExportTable, Server};
use serve::Export;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::Mutex;
use vfs::Vfs;

/// What was set, in the data folder. Format: docs/formats/folder.md.
const FILE: &str = "exports";
/// A file of more bytes is none of ours.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Why what was set cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExportsError {
    #[error("{path}: {error}")]
    Io { path: PathBuf, error: io::Error },
    #[error(transparent)]
    Damaged(#[from] ConfigError),
    #[error("{error}; change the configuration, or take the export out of {path}")]
    Table { path: PathBuf, error: ExportError },
}

impl ExportsError {
    /// Whether it is of what somebody has written, and not of the machine.
    pub(crate) fn is_of_configuration(&self) -> bool {
        !matches!(self, ExportsError::Io { .. })
    }
}

/// Both lists.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Lists {
    configured: Vec<Export>,
    set: Vec<Export>,
}

/// What is in force before anybody serves it.
pub(crate) struct Loaded {
    file: PathBuf,
    lists: Lists,
    table: ExportTable,
}

/// What is in force; whatever changes it, changes what is served with it.
pub(crate) struct Exports<V> {
    file: PathBuf,
    lists: Mutex<Lists>,
    server: Server<V>,
    files: Arc<V>,
}

impl Lists {
    /// What is in force, by path, and who has said so.
    fn merged(&self) -> BTreeMap<&str, (&Export, ExportSource)> {
        let configured = self.configured.iter().map(|export| (export, ExportSource::Configuration));
        let set = self.set.iter().map(|export| (export, ExportSource::Set));
        // The later ones take the place of those before.
        configured.chain(set).map(|(export, source)| (export.path.as_str(), (export, source))).collect()
    }

    fn table(&self) -> Result<ExportTable, ExportError> {
        ExportTable::new(self.merged().values().map(|(export, _)| (*export).clone()).collect())
    }

    fn warn_of_overruled(&self) {
        for export in
            self.configured.iter().filter(|export| self.set.iter().any(|set| set.path == export.path))
        {
            // The one that is there without a configuration is nobody's words.
            if *export != Export::default_filesystem() {
                tracing::warn!(
                    path = export.path,
                    "the configuration of this export is overruled by `plexus export set`"
                );
            }
        }
    }
}

impl Loaded {
    /// What was set in the data folder, over what the configuration says.
    pub(crate) fn read(folder: &Path, configured: Vec<Export>) -> Result<Loaded, ExportsError> {
        let file = folder.join(FILE);
        let set = match read(&file) {
            Ok(text) => config::read_exports(&file.display().to_string(), &text)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(ExportsError::Io { path: file, error }),
        };
        let lists = Lists { configured, set };
        let table = lists.table().map_err(|error| ExportsError::Table { path: file.clone(), error })?;
        lists.warn_of_overruled();
        Ok(Loaded { file, lists, table })
    }

    /// To begin serving with.
    pub(crate) fn table(&self) -> ExportTable {
        self.table.clone()
    }

    /// The paths that clients mount.
    pub(crate) fn paths(&self) -> Vec<String> {
        self.lists.merged().keys().map(|path| (*path).to_owned()).collect()
    }

    /// Served by `server` out of `files` from now on.
    pub(crate) fn served<V>(self, server: Server<V>, files: Arc<V>) -> Exports<V> {
        Exports { file: self.file, lists: Mutex::new(self.lists), server, files }
    }
}

impl<V: Vfs> Exports<V> {
    /// All of them, by path.
    pub(crate) async fn list(&self) -> Vec<ExportReport> {
        let lists = self.lists.lock().await;
        lists.merged().values().map(|(export, source)| ExportReport::new(export, *source)).collect()
    }

    /// Adds an export or changes one: kept first, then served.
    pub(crate) async fn set(&self, change: SetExport) -> Result<(), ControlError> {
        let mut lists = self.lists.lock().await;
        let mut new = lists.clone();
        let known = new.merged().get(change.path.as_str()).map(|(export, _)| (*export).clone());
        let export = changed(known, change)?;
        self.must_exist(&export.filesystem).await?;
        new.set.retain(|other| other.path != export.path);
        new.set.push(export);
        self.keep_and_serve(&mut lists, new).await
    }

    /// Takes back what was set of an export.
    pub(crate) async fn remove(&self, path: &str) -> Result<(), ControlError> {
        let mut lists = self.lists.lock().await;
        if !lists.set.iter().any(|export| export.path == path) {
            let (kind, why) = match lists.merged().contains_key(path) {
                true => {
                    (ErrorKind::Conflict, "is from the configuration; change it there, or set --no-clients")
                }
                false => (ErrorKind::NotFound, "is not exported"),
            };
            return Err(ControlError::new(kind, format!("{path} {why}")));
        }
        let mut new = lists.clone();
        new.set.retain(|export| export.path != path);
        self.keep_and_serve(&mut lists, new).await
    }

    /// Paths under which a filesystem is exported.
    pub(crate) async fn of(&self, filesystem: &str) -> Vec<String> {
        let lists = self.lists.lock().await;
        let merged = lists.merged();
        let of = merged.values().filter(|(export, _)| export.filesystem == filesystem);
        of.map(|(export, _)| export.path.clone()).collect()
    }

    /// Takes back what was set of exports of a filesystem.
    pub(crate) async fn remove_of(&self, filesystem: &str) -> Result<(), ControlError> {
        let mut lists = self.lists.lock().await;
        let mut new = lists.clone();
        new.set.retain(|export| export.filesystem != filesystem);
        if new.set.len() < lists.set.len() { self.keep_and_serve(&mut lists, new).await } else { Ok(()) }
    }

    /// Takes over a configuration that was read again.
    pub(crate) async fn reload(&self, configured: Vec<Export>) -> Result<(), ExportError> {
        let mut lists = self.lists.lock().await;
        let new = Lists { configured, set: lists.set.clone() };
        self.server.set_exports(new.table()?);
        new.warn_of_overruled();
        *lists = new;
        Ok(())
    }

    async fn must_exist(&self, filesystem: &str) -> Result<(), ControlError> {
        let request = vfs::Filesystem { name: filesystem.to_owned() };
        match self.files.filesystem(&vfs::Ctx::new(types::Cred::root()), request).await {
            Ok(_) => Ok(()),
            Err(types::FsError::NotFound) => Err(ControlError::new(
                ErrorKind::NotFound,
                format!("there is no filesystem {filesystem}; `plexus filesystem create` makes one"),
            )),
            Err(error) => Err(ControlError::new(ErrorKind::Failed, format!("{filesystem}: {error}"))),
        }
    }

    async fn keep_and_serve(&self, lists: &mut Lists, new: Lists) -> Result<(), ControlError> {
        let failed = |why: String| ControlError::new(ErrorKind::Failed, why);
        let table = new.table().map_err(|error| ControlError::new(ErrorKind::Conflict, error.to_string()))?;
        let text = config::write_exports(&new.set)
            .ok_or_else(|| ControlError::new(ErrorKind::Conflict, "there are too many exports".to_owned()))?;
        let file = self.file.clone();
        let written = tokio::task::spawn_blocking(move || durable::replace(&file, text.as_bytes())).await;
        written
            .map_err(|error| failed(error.to_string()))?
            .map_err(|error| failed(format!("{}: {error}", self.file.display())))?;
        self.server.set_exports(table);
        *lists = new;
        Ok(())
    }
}

/// An export with what has been said of it over what it was, or over the defaults.
fn changed(known: Option<Export>, change: SetExport) -> Result<Export, ControlError> {
    let invalid = |error: ConfigError| ControlError::new(ErrorKind::Invalid, error.to_string());
    let SetExport { path, filesystem, clients, squash, anonymous, access, ports } = change;
    if known.is_none() && filesystem.is_none() {
        let why = format!("{path} is not exported yet: say which filesystem, with --filesystem");
        return Err(ControlError::new(ErrorKind::Invalid, why));
    }
    let mut export = known.unwrap_or_else(|| Export::new(path.clone(), ""));
    config::change_export(&mut export, "path", Given::Text(path)).map_err(invalid)?;
    for (key, text) in [
        ("filesystem", filesystem),
        ("squash", squash),
        ("anonymous", anonymous),
        ("access", access),
        ("ports", ports),
    ] {
        if let Some(text) = text {
            config::change_export(&mut export, key, Given::Text(text)).map_err(invalid)?;
        }
    }
    if let Some(clients) = clients {
        config::change_export(&mut export, "clients", Given::List(clients)).map_err(invalid)?;
    }
    Ok(export)
}

fn read(file: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(file)?.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "over 1 MiB"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lists(configured: &[&str], set: &[&str]) -> Lists {
        let exports = |paths: &[&str], fs: &str| paths.iter().map(|path| Export::new(*path, fs)).collect();
        Lists { configured: exports(configured, "configured"), set: exports(set, "set") }
    }

    #[test]
    fn what_was_set_counts_over_the_configuration() {
        let lists = lists(&["/a", "/c"], &["/c", "/b"]);
        let merged: Vec<_> = lists
            .merged()
            .values()
            .map(|(e, source)| (e.path.clone(), e.filesystem.clone(), *source))
            .collect();
        let one = |path: &str, fs: &str, source| (path.to_owned(), fs.to_owned(), source);
        let (configuration, set) = (ExportSource::Configuration, ExportSource::Set);
        assert_eq!(
            merged,
            [one("/a", "configured", configuration), one("/b", "set", set), one("/c", "set", set)]
        );
    }

    #[test]
    fn exports_that_do_not_go_together_end_the_start_and_say_where_they_are_from() {
        let folder = tempfile::tempdir().unwrap();
        let text = config::write_exports(&lists(&[], &["/a/b"]).set).unwrap();
        std::fs::write(folder.path().join(FILE), text).unwrap();
        let loaded = Loaded::read(folder.path(), lists(&["/c"], &[]).configured).unwrap();
        assert_eq!(loaded.paths(), ["/a/b", "/c"]);
        let error = Loaded::read(folder.path(), lists(&["/a"], &[]).configured).err().unwrap().to_string();
        assert!(error.contains("\"/a\" and \"/a/b\" overlap") && error.ends_with("/exports"), "{error}");
    }

    #[test]
    fn what_is_not_said_stays() {
        let said = |access: &str| SetExport {
            path: "/p".to_owned(),
            access: Some(access.to_owned()),
            ..SetExport::default()
        };
        let known = Export { squash: serve::Squash::All, ..Export::new("/p", "f") };
        let export = changed(Some(known.clone()), said("ro")).unwrap();
        assert_eq!(export, Export { access: serve::ExportAccess::ReadOnly, ..known.clone() });
        assert_eq!(changed(None, said("ro")).unwrap_err().kind, ErrorKind::Invalid);
        assert_eq!(changed(Some(known), said("no")).unwrap_err().kind, ErrorKind::Invalid);
        let new =
            SetExport { path: "/".to_owned(), filesystem: Some("f".to_owned()), ..SetExport::default() };
        assert_eq!(changed(None, new).unwrap_err().kind, ErrorKind::Invalid);
    }
}
