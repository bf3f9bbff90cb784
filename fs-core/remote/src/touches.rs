//! What each operation changes of what clients may trust.

use locking::Need;
use types::{FileId, Name};
use vfs::*;

/// What changes.
pub(crate) enum Place {
    /// The attributes of this inode.
    File(FileId),
    /// The attributes of this directory, of which nothing is delegated.
    Folder(FileId),
    /// Where this name leads, and the attributes of the inode that it has led to, if there is one.
    Entry(FileId, Name),
}

/// An operation that changes attributes or names.
pub(crate) trait Touches {
    /// Which.
    fn touches(&self) -> Vec<Place>;

    /// What those must be asked for to whom the files are delegated.
    fn need(&self) -> Need {
        Need::Change
    }
}

macro_rules! touch {
    ($($request:ident { $($field:ident),* } => [$($place:expr),*];)*) => {
        $(impl Touches for $request {
            fn touches(&self) -> Vec<Place> {
                let $request { $($field,)* .. } = self;
                vec![$($place),*]
            }
        })*
    };
}

touch! {
    SetAttrOf { file } => [Place::File(*file)];
    Write { file } => [Place::File(*file)];
    Allocate { file } => [Place::File(*file)];
    CloneRange { to } => [Place::File(*to)];
    SetXattr { file } => [Place::File(*file)];
    RemoveXattr { file } => [Place::File(*file)];
    SetSystem { file } => [Place::File(*file)];
    Retain { file } => [Place::File(*file)];
    SetGuard { dir } => [Place::Folder(*dir)];
    Put { dir, name } => [Place::Folder(*dir), Place::Entry(*dir, name.clone())];
    Mkdir { dir } => [Place::Folder(*dir)];
    Mknod { dir } => [Place::Folder(*dir)];
    Symlink { dir } => [Place::Folder(*dir)];
    Link { file, dir } => [Place::File(*file), Place::Folder(*dir)];
    Unlink { dir, name } => [Place::Folder(*dir), Place::Entry(*dir, name.clone())];
    Rmdir { dir, name } => [Place::Folder(*dir), Place::Entry(*dir, name.clone())];
    Rename { from_dir, from_name, to_dir, to_name } => [
        Place::Folder(*from_dir),
        Place::Folder(*to_dir),
        Place::Entry(*from_dir, from_name.clone()),
        Place::Entry(*to_dir, to_name.clone())
    ];
}

impl Touches for Open {
    fn touches(&self) -> Vec<Place> {
        match (&self.target, self.truncate, &self.create) {
            (OpenTarget::File(file), true, _) => vec![Place::File(*file)],
            (OpenTarget::File(_), false, _) => Vec::new(),
            // Made, or cut when it is there: which of both is seen by who does it.
            (OpenTarget::Entry { dir, name }, _, Some(_)) | (OpenTarget::Entry { dir, name }, true, None) => {
                vec![Place::Folder(*dir), Place::Entry(*dir, name.clone())]
            }
            (OpenTarget::Entry { .. }, false, None) => Vec::new(),
        }
    }

    fn need(&self) -> Need {
        let cuts = self.truncate || self.create.as_ref().is_some_and(|create| create.set.size.is_some());
        let changes = self.access.write || self.deny.read || self.deny.write || cuts;
        if changes { Need::Change } else { Need::Look }
    }
}
