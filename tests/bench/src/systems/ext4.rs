//! The disk's own file system: what all others stand on.

use super::{Ground, Mounted, System, leave};
use crate::BenchError;
use crate::client::Client;
use crate::disk::Disks;
use std::path::{Path, PathBuf};

#[derive(Debug)]
pub(super) struct Ext4 {
    disk: PathBuf,
    mount: Option<Mounted>,
}

impl Ext4 {
    pub(super) fn new(ground: &Ground<'_>) -> Ext4 {
        Ext4 { disk: ground.disks.folder().to_owned(), mount: None }
    }
}

impl System for Ext4 {
    fn mount(&mut self, _: &mut Client, at: &Path) -> Result<(), BenchError> {
        std::fs::create_dir_all(at)?;
        self.mount = Some(Mounted::bound(&self.disk, at)?);
        Ok(())
    }

    fn unmount(&mut self, client: &mut Client, at: &Path) -> Result<(), BenchError> {
        leave(&mut self.mount, client, at)
    }

    fn cool(&mut self, disks: &mut Disks) -> Result<(), BenchError> {
        disks.remount()
    }
}
