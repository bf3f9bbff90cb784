//! A second filesystem, which is made, filled and removed again and again. Nobody knows what is in it; but one whose
//! removal was acknowledged is gone for good, and of all that it had nothing is left in the end.

use crate::op::{BOTH, WHOLE, name};
use crate::site::Core;
use bytes::Bytes;
use env::{Random, SeededRandom};
use frontend::RemoveError;
use std::time::Duration;
use types::{Cred, FileId, FileKind, FsError, Mode, SetAttr};
use vfs::*;

const NAME: &str = "second";
const NAMES: [&str; 4] = ["p", "q", "r", "s"];

pub(crate) struct Tenant {
    random: SeededRandom,
    top: Option<FileId>,
    /// It was asked to remove it, and there was no answer.
    removing: bool,
    /// Roots of those that were there before.
    gone: Vec<FileId>,
    opens: Vec<OpenId>,
}

fn root() -> Ctx {
    Ctx { client: ClientId(99), ..Ctx::new(Cred::root()) }
}

impl Tenant {
    /// The tenant of a seed; not each has one.
    pub(crate) fn of(seed: u64) -> Option<Tenant> {
        let random = SeededRandom::new(seed ^ 0x7e4a47);
        let (top, removing, gone, opens) = (None, false, Vec::new(), Vec::new());
        seed.is_multiple_of(3).then_some(Tenant { random, top, removing, gone, opens })
    }

    /// How many were removed.
    pub(crate) fn removed(&self) -> u64 {
        self.gone.len() as u64
    }

    /// Goes on for ever.
    pub(crate) async fn run(&mut self, core: &Core) {
        loop {
            match self.step(core).await {
                Ok(()) => {}
                Err(error) => assert!(
                    !matches!(error, FsError::Io | FsError::NoSpace | FsError::BadOpen),
                    "a change of the second filesystem gave {error:?}"
                ),
            }
            tokio::time::sleep(Duration::from_micros(self.random.below(1500))).await;
        }
    }

    async fn step(&mut self, core: &Core) -> FsResult<()> {
        let Some(top) = self.top else {
            let made = core.files.make_filesystem(NAME, &self.random).await?;
            self.top = Some(FileId::root(made));
            return Ok(());
        };
        if self.random.below(40) == 0 {
            return self.remove(core, top).await;
        }
        self.change(core, top).await
    }

    async fn remove(&mut self, core: &Core, top: FileId) -> FsResult<()> {
        let force = self.random.below(2) == 0;
        self.removing = true;
        let removed = core.files.remove_filesystem(top.fs, force, false).await;
        self.removing = false;
        match removed {
            Ok(()) => {
                assert!(force || self.opens.is_empty(), "it was removed under who had it open");
                self.is_gone(core, top).await;
                for open in self.opens.drain(..) {
                    core.files.close(&root(), Close { open }).await?;
                }
                Ok(())
            }
            Err(RemoveError::Open(number)) => {
                assert!(!force && number == self.opens.len(), "{number} opens");
                Ok(())
            }
            Err(RemoveError::Retained) => Err(FsError::NotPermitted),
            Err(RemoveError::Fs(error)) => Err(error),
        }
    }

    /// Nobody finds it any more, and nobody ever will.
    async fn is_gone(&mut self, core: &Core, top: FileId) {
        self.top = None;
        self.gone.push(top);
        for file in &self.gone {
            let found = core.files.getattr(&root(), GetAttr { file: *file }).await;
            assert_eq!(found.map(drop), Err(FsError::Stale), "{file} is back");
        }
    }

    async fn change(&mut self, core: &Core, top: FileId) -> FsResult<()> {
        let (files, ctx, random) = (&core.files, root(), &self.random);
        let some_name = || name(NAMES[random.below(NAMES.len() as u64) as usize]);
        let (mut dir, mode, set) = (top, Mode(0o755), SetAttr::default());
        if let Ok(found) = files.lookup(&ctx, Lookup { dir: top, name: some_name() }).await
            && found.attr.kind == FileKind::Directory
        {
            dir = found.attr.file;
        }
        let find =
            async |text| files.lookup(&ctx, Lookup { dir, name: text }).await.map(|found| found.attr.file);
        match random.below(10) {
            0 | 1 => {
                files.mkdir(&ctx, Mkdir { dir, name: some_name(), mode, set }).await?;
            }
            2 => {
                files.unlink(&ctx, Unlink { dir, name: some_name() }).await?;
            }
            3 => {
                let file = find(some_name()).await?;
                files.link(&ctx, Link { file, dir: top, name: some_name() }).await?;
            }
            4 => {
                let (from, to) = (find(some_name()).await?, find(some_name()).await?);
                let (from_open, to_open, from_offset, to_offset, length) = (None, None, 0, 0, 4096);
                let clone = CloneRange { from, from_open, from_offset, to, to_open, to_offset, length };
                files.clone_range(&ctx, clone).await?;
            }
            5 if self.opens.len() < 2 => {
                let target = OpenTarget::Entry { dir, name: some_name() };
                let create = Some(Create { how: CreateHow::Unchecked, mode, set });
                let (deny, truncate, reclaim, for_execution) = (OpenAccess::default(), false, false, false);
                let request = Open { target, access: BOTH, deny, create, truncate, reclaim, for_execution };
                let opened = files.open(&ctx, request).await?;
                self.opens.push(opened.open);
            }
            6 if !self.opens.is_empty() => {
                let open = self.opens.remove(0);
                files.close(&ctx, Close { open }).await?;
            }
            how => {
                let file = match find(some_name()).await {
                    Ok(file) => file,
                    Err(_) => {
                        let (kind, name) = (NodeKind::File, some_name());
                        files.mknod(&ctx, Mknod { dir, name, kind, mode, set }).await?.attr.file
                    }
                };
                let data = Bytes::from(vec![how as u8; 1 + random.below(30_000) as usize]);
                let (open, durability) = (None, Durability::Unstable);
                let offset = WriteOffset::At(random.below(20_000));
                files.write(&ctx, Write { file, open, offset, data, durability }).await?;
                if random.below(2) == 0 {
                    files.commit(&ctx, Commit { file, range: WHOLE }).await?;
                }
            }
        }
        Ok(())
    }

    /// After a crash: looks at what is there.
    pub(crate) async fn recover(&mut self, core: &Core) {
        // Nobody claims what it had open.
        self.opens.clear();
        core.files.reclaimed(&root(), Reclaimed { client: root().client }).await.unwrap();
        let found = core.files.filesystem(&root(), Filesystem { name: NAME.to_owned() }).await;
        match (found, self.top) {
            (Ok(found), Some(top)) => assert_eq!(found.root, top, "it is another one"),
            // It was made, and nobody was told.
            (Ok(found), None) => self.top = Some(found.root),
            (Err(FsError::NotFound), Some(top)) => {
                assert!(self.removing, "it is gone, and nobody has removed it");
                self.is_gone(core, top).await;
            }
            (Err(FsError::NotFound), None) => {}
            (Err(error), _) => panic!("the second filesystem cannot be found: {error:?}"),
        }
        self.removing = false;
    }

    /// Removes it.
    pub(crate) async fn clear(&mut self, core: &Core) {
        if let Some(top) = self.top {
            core.files.remove_filesystem(top.fs, true, false).await.unwrap();
            self.is_gone(core, top).await;
        }
    }
}
