//! The disk's own file system: what all others stand on.

use super::{Ground, System};
use crate::client::Client;
use crate::disk::{self, Disks};
use crate::{BenchError, processes};
use std::path::{Path, PathBuf};

#[derive(Debug)]
pub(super) struct Ext4 {
    disk: PathBuf,
    mounted: Option<PathBuf>,
}

impl Ext4 {
    pub(super) fn new(ground: &Ground<'_>) -> Ext4 {
        Ext4 { disk: ground.disks.folder().to_owned(), mounted: None }
    }
}

impl System for Ext4 {
    fn mount(&mut self, _: &mut Client, at: &Path) -> Result<(), BenchError> {
        std::fs::create_dir_all(at)?;
        processes::run_words(&["mount", "--bind", &self.disk.to_string_lossy(), &at.to_string_lossy()])?;
        self.mounted = Some(at.to_owned());
        Ok(())
    }

    fn unmount(&mut self, _: &mut Client, at: &Path) -> Result<(), BenchError> {
        disk::unmount(at)?;
        self.mounted = None;
        Ok(())
    }

    fn cool(&mut self, disks: &mut Disks) -> Result<(), BenchError> {
        disks.remount()
    }
}

impl Drop for Ext4 {
    fn drop(&mut self) {
        if let Some(at) = &self.mounted
            && let Err(err) = disk::unmount(at)
        {
            eprintln!("bench: {err}");
        }
    }
}
