//! A mount that is gone after the test, also when the test panics.

use fuse::{Mount, MountOptions, Session};
use model::Model;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use tempfile::TempDir;
use tokio::runtime::Runtime;

pub(crate) struct Mounted {
    session: Session,
    runtime: Option<Runtime>,
    scratch: TempDir,
    pub(crate) model: Arc<Model>,
}

impl Mounted {
    pub(crate) fn new() -> Mounted {
        Mounted::with(MountOptions::default())
    }

    pub(crate) fn with(options: MountOptions) -> Mounted {
        let runtime = Runtime::new().unwrap();
        let scratch = TempDir::new().unwrap();
        let at = scratch.path().join("mount");
        std::fs::create_dir(&at).unwrap();
        std::fs::create_dir(scratch.path().join("local")).unwrap();
        let model = Arc::new(Model::of_today());
        let mount = Mount::new(model.clone(), model.root(), options, runtime.handle().clone());
        let session = mount.mount(&at).unwrap();
        Mounted { session, runtime: Some(runtime), scratch, model }
    }

    /// Where the file system is.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.session.path().join(name)
    }

    /// A folder beside it, on a local file system.
    pub(crate) fn local(&self) -> PathBuf {
        self.scratch.path().join("local")
    }

    /// Runs a shell script in the mount; `$LOCAL` is the folder beside it.
    pub(crate) fn sh(&self, script: &str) -> String {
        run(Command::new("sh").args(["-euc", script]).env("LOCAL", self.local()), self.session.path())
    }

    pub(crate) fn python(&self, script: &str) -> String {
        run(Command::new("python3").args(["-c", script]), self.session.path())
    }
}

fn run(command: &mut Command, at: &Path) -> String {
    let output = command.current_dir(at).env("HOME", at).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{}\nstdout:\n{out}\nstderr:\n{err}", output.status);
    out
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if self.session.unmount().is_err() {
            let _ = self.session.detach();
        }
        if let Some(runtime) = self.runtime.take() {
            // The session's last words need the runtime.
            let ended = runtime.block_on(async {
                tokio::time::timeout(std::time::Duration::from_secs(10), self.session.wait()).await
            });
            runtime.shutdown_background();
            if !std::thread::panicking() {
                ended.expect("the session ends after unmount").expect("and ends well");
            }
        }
    }
}
