//! Inodes, their names and extended attributes, and what waits to be removed.

use crate::cookie::displacement;
use crate::damage::Kind;
use crate::keys::{self, Key};
use crate::part::{Says, Seen};
use crate::records::{self, Body, Entry, EntryName, Inode, Intent, Orphan, SystemValue, Xattr, decode};
use crate::walk::Walk;
use map::MapError;
use types::limits::{
    FILE_BYTES_MAX, INLINE_FILE_BYTES_MAX, LINKS_MAX, SYMLINK_BYTES_MAX, XATTR_LIST_BYTES_MAX,
    XATTR_NAME_BYTES_MAX, XATTR_VALUE_BYTES_MAX,
};
use types::{Cookie, FileId, InodeId, Name};

const NANOSECONDS: u32 = 1_000_000_000;

impl Walk<'_> {
    pub(crate) fn inode(&mut self, raw: &[u8], key: Key<'_>, value: &[u8]) {
        let Some(ino) = key.inode() else { return self.unreadable(raw, "its key has another length") };
        self.inodes += 1;
        let inode: Option<Inode> = self.read(raw, value);
        if let Some(inode) = &inode {
            self.attributes(self.part.file(ino), inode);
        }
        // Records come in the order of their keys, so this stays in order.
        self.part.inodes.push(Seen::new(ino, inode.as_ref().map(Says::of)));
    }

    /// What an inode says by itself.
    fn attributes(&mut self, file: FileId, inode: &Inode) {
        use records::Kind as Is;
        let (kind, size) = (inode.kind, inode.size);
        let fits = matches!(
            (kind, &inode.body),
            (Is::File, Body::File { .. })
                | (Is::Directory, Body::Directory { .. })
                | (Is::Symlink, Body::Symlink(_))
                | (Is::Fifo | Is::Socket | Is::CharDevice | Is::BlockDevice, Body::None)
        );
        let right_key = match (&inode.body, self.filesystems.get(&file.fs)) {
            (Body::Directory { hash_key, .. }, Some(fs)) => *hash_key == fs.hash_key,
            _ => true,
        };
        let findings = &mut self.findings;
        findings.must(right_key, Kind::Cookie, file, || {
            format!("directory {file} looks for names with another key than its filesystem has")
        });
        findings.must(fits, Kind::WrongKind, file, || {
            format!("inode {file} is a {kind} with another kind's content")
        });
        let mut attribute = |holds: bool, what: &str| {
            findings.must(holds, Kind::Attribute, file, || format!("inode {file} has an impossible {what}"));
        };
        attribute(inode.mode <= 0o7777, "mode");
        attribute(inode.times.iter().all(|time| time.nanoseconds < NANOSECONDS), "time");
        attribute(
            matches!(kind, Is::CharDevice | Is::BlockDevice) || inode.device == (0, 0),
            "device number",
        );
        attribute(kind == Is::Directory || inode.links <= LINKS_MAX, "number of links");
        attribute(kind == Is::File || inode.used == 0, "number of bytes used");
        attribute(inode.content <= inode.change, "change of content");
        match &inode.body {
            Body::Symlink(target) => {
                let good = (1..=SYMLINK_BYTES_MAX).contains(&target.len()) && !target.contains(&0);
                attribute(good && size == target.len() as u64, "target or size");
            }
            Body::File { .. } => attribute(size <= FILE_BYTES_MAX, "size"),
            Body::None => attribute(size == 0, "size"),
            Body::Directory { .. } => {}
        }
    }

    pub(crate) fn entry(&mut self, raw: &[u8], key: Key<'_>, value: &[u8]) -> Result<(), MapError> {
        let Some((dir, cookie)) = key.inode_and_number() else {
            self.unreadable(raw, "its key has another length");
            return Ok(());
        };
        self.entries += 1;
        let Some(entry) = self.read::<Entry>(raw, value) else { return Ok(()) };
        let dir_file = self.part.file(dir);
        let name = entry.name.escape_ascii().to_string();
        let child = self.part.file(InodeId(entry.ino));
        if Name::new(entry.name.clone()).is_err() {
            self.unreadable(raw, "its name is none");
            return Ok(());
        }
        let is_directory = entry.kind == records::Kind::Directory;
        let by_name = self.view.get(&keys::entry_name(dir_file, &entry.name, is_directory))?;
        let by_name = by_name.map(|value| decode::<EntryName>(&value).ok());
        let same =
            |other: EntryName| (other.cookie, other.ino, other.kind) == (cookie, entry.ino, entry.kind);
        let agrees = match by_name {
            None => false,
            // One that cannot be read is named when the pass comes to it.
            Some(other) => other.is_none_or(same),
        };
        self.findings.must(agrees, Kind::Entry, child, || {
            format!("the entry {name} of directory {dir_file} for inode {child} has no equal record by name")
        });
        let distance = match self.filesystems.get(&key.fs) {
            Some(fs) => displacement(&fs.hash_key, &entry.name, cookie),
            None => Some(0),
        };
        self.findings.must(distance.is_some(), Kind::Cookie, child, || {
            format!(
                "the entry {name} of directory {dir_file} stands at cookie {cookie}, where none looks for it"
            )
        });
        match self.part.inode(dir) {
            Some(seen) => {
                seen.entries += 1;
                seen.subdirectories += u32::from(is_directory);
                seen.displaced += u32::from(distance != Some(0));
                let says = seen.says;
                let is_dir = says.is_none_or(|says| says.kind == records::Kind::Directory);
                self.findings.must(is_dir, Kind::WrongKind, dir_file, || {
                    format!("inode {dir_file} has the entry {name} and is no directory")
                });
            }
            None => self.findings.add(Kind::Unreachable, Some(child), || {
                format!("the entry {name} for inode {child} is in directory {dir_file}, which is not there")
            }),
        }
        self.child(dir_file, &name, child, entry.kind)
    }

    /// The inode that an entry names.
    fn child(&mut self, dir: FileId, name: &str, child: FileId, kind: records::Kind) -> Result<(), MapError> {
        match self.kind_of(child.ino)? {
            None => {
                self.findings.add(Kind::DanglingEntry, Some(dir), || {
                    format!("the entry {name} of directory {dir} names inode {child}, which is not there")
                });
                return Ok(());
            }
            Some(None) => {}
            Some(Some(says)) => {
                self.findings.must(says.kind == kind, Kind::WrongKind, child, || {
                    format!(
                        "the entry {name} of directory {dir} calls inode {child} a {kind}, and it is a {}",
                        says.kind
                    )
                });
                let below = says.kind != records::Kind::Directory || says.parent == dir.ino.0;
                self.findings.must(below, Kind::Parent, child, || {
                    let parent = InodeId(says.parent);
                    format!("directory {child} is {name} in directory {dir}, and says that it is in {parent}")
                });
            }
        }
        match self.part.inode(child.ino) {
            Some(seen) => seen.names = seen.names.saturating_add(1),
            None => self.across.name(child),
        }
        Ok(())
    }

    pub(crate) fn entry_name(&mut self, raw: &[u8], key: Key<'_>, value: &[u8]) -> Result<(), MapError> {
        let Some((dir, name)) = key.inode_and_name() else {
            self.unreadable(raw, "its key has no name");
            return Ok(());
        };
        let Some(record) = self.read::<EntryName>(raw, value) else { return Ok(()) };
        let name = if record.kind == records::Kind::Directory { name.strip_suffix(b"/") } else { Some(name) };
        let Some(name) = name.filter(|name| Name::new(name.to_vec()).is_ok()) else {
            self.unreadable(raw, "its name is none");
            return Ok(());
        };
        let (dir, child) = (self.part.file(dir), self.part.file(InodeId(record.ino)));
        let by_cookie = self.view.get(&keys::entry(dir, Cookie(record.cookie)))?;
        let by_cookie = by_cookie.map(|value| decode::<Entry>(&value).ok());
        // Where the names are the same, the other record tells of any difference.
        let there = by_cookie.is_some_and(|entry| entry.is_none_or(|entry| entry.name[..] == *name));
        self.findings.must(there, Kind::Entry, dir, || {
            format!(
                "the name {} of directory {dir} for inode {child} has no equal entry at cookie {}",
                name.escape_ascii(),
                record.cookie
            )
        });
        Ok(())
    }

    pub(crate) fn xattr(&mut self, raw: &[u8], key: Key<'_>, value: &[u8]) {
        let Some((ino, name)) = key.inode_and_name() else {
            return self.unreadable(raw, "its key has no name");
        };
        let record: Option<Xattr> = self.read(raw, value);
        let file = self.part.file(ino);
        let fits = name.len() <= XATTR_NAME_BYTES_MAX
            && record.is_none_or(|record| record.value.len() <= XATTR_VALUE_BYTES_MAX);
        self.findings.must(fits, Kind::Xattr, file, || {
            format!("the extended attribute {} of inode {file} is too long", name.escape_ascii())
        });
        match self.part.inode(ino) {
            Some(seen) => {
                seen.xattrs = seen.xattrs.saturating_add(1);
                seen.xattr_names = seen.xattr_names.saturating_add(name.len() + 1);
            }
            None => self.findings.add(Kind::Xattr, None, || {
                format!("extended attribute {} of inode {file}, which is not there", name.escape_ascii())
            }),
        }
    }

    pub(crate) fn system(&mut self, raw: &[u8], key: Key<'_>, value: &[u8]) {
        let Some((ino, name)) = key.inode_and_name() else {
            return self.unreadable(raw, "its key has no name");
        };
        let record: Option<SystemValue> = self.read(raw, value);
        let file = self.part.file(ino);
        let fits = name.len() <= XATTR_NAME_BYTES_MAX
            && record.as_ref().is_none_or(|record| record.value.len() <= XATTR_VALUE_BYTES_MAX);
        self.findings.must(fits, Kind::Xattr, file, || {
            format!("the system attribute {} of inode {file} is too long", name.escape_ascii())
        });
        match self.part.inode(ino) {
            Some(seen) => {
                let early = seen.says.zip(record).is_none_or(|(says, record)| record.content <= says.change);
                seen.xattrs = seen.xattrs.saturating_add(1);
                self.findings.must(early, Kind::Xattr, file, || {
                    format!(
                        "the system attribute {} of inode {file} is of a later change",
                        name.escape_ascii()
                    )
                });
            }
            None => self.findings.add(Kind::Xattr, None, || {
                format!("system attribute {} of inode {file}, which is not there", name.escape_ascii())
            }),
        }
    }

    pub(crate) fn orphan(&mut self, raw: &[u8], key: Key<'_>, value: &[u8]) {
        let Some(ino) = key.inode() else { return self.unreadable(raw, "its key has another length") };
        let Some(orphan) = self.read::<Orphan>(raw, value) else { return };
        let file = self.part.file(ino);
        match self.part.inode(ino) {
            Some(seen) => seen.orphan = true,
            None => self.findings.add(Kind::Pending, None, || {
                format!("inode {file} is said to have lost its last name, and is not there")
            }),
        }
        self.findings.must(orphan.since.nanoseconds < NANOSECONDS, Kind::Attribute, file, || {
            format!("inode {file} lost its last name at an impossible time")
        });
    }

    pub(crate) fn intent(&mut self, raw: &[u8], key: Key<'_>, value: &[u8]) {
        let Some(ino) = key.inode() else { return self.unreadable(raw, "its key has another length") };
        let Some(intent) = self.read::<Intent>(raw, value) else { return };
        let file = self.part.file(ino);
        match self.part.inode(ino) {
            Some(seen) => seen.intent = Some(intent),
            None => self.findings.add(Kind::Pending, None, || {
                format!("inode {file} has work left to be done, and is not there")
            }),
        }
    }

    /// What was counted against what each inode says.
    pub(crate) fn finish_inodes(&mut self) {
        for seen in std::mem::take(&mut self.part.inodes) {
            let Some(says) = seen.says else { continue };
            let file = self.part.file(seen.ino);
            self.pending(file, &seen, &says);
            match says.kind {
                records::Kind::Directory => self.directory(file, &seen, &says),
                records::Kind::File => self.content(file, &seen, &says),
                _ => {}
            }
            let (has, should) = (seen.xattrs, says.xattrs);
            self.findings.must(has == should, Kind::Xattr, file, || {
                format!("inode {file} has {has} extended and system attributes, and says {should}")
            });
            self.findings.must(seen.xattr_names <= XATTR_LIST_BYTES_MAX, Kind::Xattr, file, || {
                format!(
                    "the names of the extended attributes of inode {file} take {} bytes",
                    seen.xattr_names
                )
            });
            let directory = says.kind == records::Kind::Directory;
            let expected = match (directory, seen.leaves()) {
                (_, true) => 0,
                (true, _) => u32::from(file.ino != InodeId::ROOT),
                (false, _) => says.links,
            };
            self.across.settle(file, directory, expected, seen.names);
            if directory && !seen.leaves() {
                self.across.directory(file, InodeId(says.parent));
            }
        }
    }

    /// Links, orphans and intents.
    fn pending(&mut self, file: FileId, seen: &Seen, says: &Says) {
        let (links, leaves) = (says.links, seen.leaves());
        self.findings.must(links > 0 || leaves, Kind::Unreachable, file, || {
            format!("inode {file} has no links, and neither waits to be closed nor to be removed")
        });
        self.findings.must(links == 0 || !leaves, Kind::Pending, file, || {
            format!("inode {file} waits to be closed or removed, and says {links} links")
        });
        let both = seen.orphan && seen.intent.is_some_and(Intent::deletes);
        self.findings.must(!both, Kind::Pending, file, || format!("inode {file} is open and being removed"));
        let deletes = seen.intent.is_some_and(Intent::deletes);
        let cut = seen.intent.is_some() && !deletes;
        let right = says.cut.is_some() == cut || deletes;
        self.findings.must(right, Kind::Pending, file, || match cut {
            true => format!("inode {file} is to be cut, and does not say where"),
            false => format!("inode {file} says where it is to be cut, and nothing is going to do it"),
        });
    }

    fn directory(&mut self, file: FileId, seen: &Seen, says: &Says) {
        self.findings.must(seen.entries == says.size, Kind::DirectorySize, file, || {
            format!("directory {file} has {} entries, and says {}", seen.entries, says.size)
        });
        let links = 2 + u64::from(seen.subdirectories);
        self.findings.must(seen.leaves() || u64::from(says.links) == links, Kind::Links, file, || {
            format!(
                "directory {file} has {links} links with those of its subdirectories, and says {}",
                says.links
            )
        });
        self.findings.must(seen.displaced == says.displaced, Kind::Cookie, file, || {
            format!("directory {file} has {} displaced entries, and says {}", seen.displaced, says.displaced)
        });
        let root = file.ino != InodeId::ROOT || says.parent == file.ino.0;
        self.findings.must(root, Kind::Parent, file, || {
            format!("the root {file} says that it is in {}", InodeId(says.parent))
        });
    }

    fn content(&mut self, file: FileId, seen: &Seen, says: &Says) {
        if let Some(inline) = says.inline {
            let fits = inline <= INLINE_FILE_BYTES_MAX as u64 && inline <= says.size;
            self.findings.must(fits, Kind::Inline, file, || {
                format!("inode {file} has {inline} bytes of content in itself, of {}", says.size)
            });
            self.findings.must(seen.extents == 0, Kind::Inline, file, || {
                format!("inode {file} has content in itself and in extents")
            });
        }
        let used = seen.extents.saturating_add(says.inline.unwrap_or(0));
        self.findings.must(used == says.used, Kind::Used, file, || {
            format!("inode {file} uses {used} bytes, and says {}", says.used)
        });
    }
}
