//! Filesystems that are being removed. Of their tree any part may be missing, but for what drives still hold for them:
//! accounts and counters are exact, and every stripe is either live or garbage.

use crate::damage::Kind;
use crate::keys::{self, Key};
use crate::part::{Says, Seen};
use crate::records::{
    Entry, EntryName, Extent, Inode, Intent, Orphan, Piece, Removal, Stripe, Unfolded, Xattr,
};
use crate::walk::Walk;
use map::MapError;
use types::Slot;

const NANOSECONDS: u32 = 1_000_000_000;

impl Walk<'_> {
    pub(crate) fn find_removals(&mut self) -> Result<(), MapError> {
        let (from, to) = keys::removals();
        self.view.scan(&from, &to, &mut |key, _| {
            self.going.extend(Key::parse(key).and_then(|key| key.filesystem()));
            true
        })?;
        for id in &self.going {
            if self.filesystems.contains_key(id) {
                self.findings.add(Kind::Filesystem, None, || {
                    format!("filesystem {} is there, and is being removed", id.0)
                });
            }
        }
        Ok(())
    }

    pub(crate) fn removal(&mut self, raw: &[u8], key: Key<'_>, value: &[u8]) {
        let Some(Removal { name, since }) = self.read(raw, value) else { return };
        if key.slot != Slot(0)
            || key.filesystem().is_none()
            || name.is_empty()
            || since.nanoseconds >= NANOSECONDS
        {
            self.unreadable(raw, "it is no removal");
        }
    }

    /// A record of a filesystem that is being removed; false for those that must be as in any other.
    pub(crate) fn of_removal(&mut self, raw: &[u8], key: Key<'_>, value: &[u8]) -> bool {
        self.removing += 1;
        match key.kind {
            keys::INODE => {
                let Some(ino) = key.inode() else { return false };
                let inode: Option<Inode> = self.read(raw, value);
                self.part.inodes.push(Seen::new(ino, inode.as_ref().map(Says::of)));
            }
            keys::UNFOLDED => {
                let Some(Unfolded { bytes }) = self.read(raw, value) else { return true };
                self.part.counted.unfolded += 1;
                self.part.counted.unfolded_bytes += u64::from(bytes);
            }
            keys::STRIPE => {
                let Some(stripe) = key.stripe() else { return false };
                self.number(Kind::Stripe, stripe);
                // It is to be freed, whatever is left of it.
                self.chunks.garbage(stripe);
                if let Some(record) = self.read::<Stripe>(raw, value) {
                    self.part.counted.add_live(&record);
                }
            }
            keys::ENTRY => drop(self.read::<Entry>(raw, value)),
            keys::ENTRY_NAME => drop(self.read::<EntryName>(raw, value)),
            keys::EXTENT => drop(self.read::<Extent>(raw, value)),
            keys::PIECE => drop(self.read::<Piece>(raw, value)),
            keys::XATTR => drop(self.read::<Xattr>(raw, value)),
            keys::ORPHAN => drop(self.read::<Orphan>(raw, value)),
            keys::INTENT => drop(self.read::<Intent>(raw, value)),
            _ => return false,
        }
        true
    }
}
