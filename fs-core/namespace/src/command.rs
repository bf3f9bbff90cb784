//! Commands, and how they travel.

use crate::records::{Kept, Scrub};
use bytes::Bytes;
use locking::Holds;
use serde::{Deserialize, Serialize};
use types::{
    ByteRange, Cred, Device, FsId, GroupId, Guard, InodeId, Mode, Name, RequestId, Retention, SetAttr, Slot,
    StripeId, Time,
};

/// A change of one filesystem on behalf of somebody.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Command {
    /// The present, as the proposer saw it.
    pub now: Time,
    /// On whose behalf.
    pub cred: Cred,
    /// The end client's identity of the change.
    pub request: Option<RequestId>,
    /// The filesystem.
    pub fs: FsId,
    /// The change.
    pub action: Action,
    /// Appends whose bytes it writes back, at most [`APPENDS_PER_COMMAND`]. Only with [`Action::Commit`].
    #[serde(skip)]
    pub appends: Vec<Append>,
}

/// Most appends that one command can note.
pub const APPENDS_PER_COMMAND: usize = 32;

/// A client's append to a file, of whose answer the client may not have heard: if it asks again, it is known by this.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Append {
    /// Which change of which client.
    pub request: RequestId,
    /// What is in the file with this command.
    pub done: Appended,
}

/// How far an append has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Appended {
    /// Where in the file its bytes go.
    pub offset: u64,
    /// So many of them, the first, are in the file.
    pub bytes: u64,
    /// That is all of them.
    pub whole: bool,
}

/// What to change.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Action {
    /// Makes a filesystem with its root; the identity of an existing one of that name comes back.
    MakeFilesystem {
        /// Its name.
        name: String,
        /// The key of the hash in its cookies, chosen at random by the proposer.
        hash_key: [u8; 16],
    },
    /// Takes a filesystem's name and makes its tree unreachable. What it has is removed by [`Action::EmptySlot`], slot by
    /// slot, and then it is forgotten.
    RemoveFilesystem {
        /// Which.
        id: FsId,
        /// Also what is retained in it.
        retained: bool,
    },
    /// Goes on with removing what a filesystem that is being removed has in a slot. First all inodes of all its slots:
    /// no command that is on its way finds anything to change then.
    EmptySlot {
        /// The slot.
        slot: Slot,
        /// Where to go on: the key that the last step told, or nothing.
        from: Bytes,
        /// Remove the inodes only.
        inodes: bool,
    },
    /// Nothing is left of a filesystem that was being removed.
    ForgetFilesystem {
        /// Which.
        id: FsId,
    },
    /// Makes an inode and its first name.
    Create(Create),
    /// Gives an inode another name.
    Link {
        /// The inode.
        ino: InodeId,
        /// The directory.
        dir: InodeId,
        /// The name.
        name: Name,
    },
    /// Removes a name.
    Remove {
        /// The directory.
        dir: InodeId,
        /// The name.
        name: Name,
        /// Whether the name has to be a directory's; else it must not be.
        directory: bool,
        /// The inode that the proposer saw there, and whether it is open. Another one is answered
        /// with [`crate::Failure::Moved`].
        seen: InodeId,
        /// Keep the inode as an orphan if this was its last name.
        keep: bool,
    },
    /// Moves a name.
    Rename {
        /// From this directory.
        from_dir: InodeId,
        /// And this name.
        from_name: Name,
        /// To this directory.
        to_dir: InodeId,
        /// And this name.
        to_name: Name,
        /// What to do about a target.
        exists: Exists,
        /// The inode that the proposer saw at the target.
        seen: Option<InodeId>,
        /// Keep a replaced inode as an orphan if this was its last name.
        keep: bool,
    },
    /// Changes attributes.
    SetAttr {
        /// The inode.
        ino: InodeId,
        /// What to change.
        set: SetAttr,
        /// The caller's right to write was decided when it opened the file.
        may_write: bool,
        /// Only while the inode's ctime is this.
        if_ctime: Option<Time>,
    },
    /// Sets or removes (no value) an extended attribute.
    SetXattr {
        /// The inode.
        ino: InodeId,
        /// Its name.
        name: Name,
        /// Its value.
        value: Option<Bytes>,
        /// `Some(true)`: it must be there; `Some(false)`: it must not.
        must_exist: Option<bool>,
    },
    /// Makes a file without a name, an orphan, in the slot of a directory and as if in it.
    Stage {
        /// The directory.
        near: InodeId,
        /// Permission bits, after the umask.
        mode: Mode,
    },
    /// Gives a name to a whole file.
    Put(Put),
    /// Makes the system directory, or finds it.
    MakeSystem,
    /// Sets or removes (no value) a system attribute.
    SetSystem {
        /// The inode.
        ino: InodeId,
        /// Its name.
        name: Name,
        /// Its value.
        value: Option<Bytes>,
        /// Only while the file has this content.
        if_content: Option<u64>,
        /// Only while the value is this, or there is none.
        if_value: Option<Option<Bytes>>,
    },
    /// Retains a file, for another time than before or not any more where that may be.
    Retain {
        /// The file.
        ino: InodeId,
        /// How.
        retention: Retention,
        /// Whoever asks may go around governance.
        bypass: bool,
        /// Only while it is retained so.
        seen: Option<Retention>,
    },
    /// Guards a directory on the way to what is retained, beside what guards it already; `None`: not any more.
    Guard {
        /// The directory.
        ino: InodeId,
        /// How.
        guard: Option<Guard>,
    },
    /// Makes written data part of the file. Bytes of stripes must be durable before this is proposed.
    Commit {
        /// The file.
        ino: InodeId,
        /// Stripes that extents of this command refer to for the first time; later ones may refer to
        /// further parts of them.
        stripes: Vec<NewStripe>,
        /// The runs, in order, without overlap.
        extents: Vec<Extent>,
        /// The whole content instead of extents, up to 4 KiB.
        inline: Option<Bytes>,
        /// The file is at least this long afterwards.
        size_at_least: u64,
        /// The change attribute is at least this afterwards: what readers of the unwritten data saw.
        change_at_least: u64,
        /// When the data were written; `None` where nobody's write but a rearrangement.
        written: Option<Time>,
        /// The caller writes: setuid, setgid and capabilities fall as they do for it. Asked for before
        /// the bytes are taken, as what they allowed must not outlive the content it was given for.
        drop_privileges: bool,
    },
    /// Reserves, frees or zeroes a range.
    Space {
        /// The file.
        ino: InodeId,
        /// Which bytes.
        range: ByteRange,
        /// What to do with them.
        space: Space,
        /// Extend the file over the range.
        extend: bool,
    },
    /// Shares a range of one file with another, by reference.
    CloneRange {
        /// The source.
        from: InodeId,
        /// Its first byte.
        from_offset: u64,
        /// The destination.
        to: InodeId,
        /// Its first byte.
        to_offset: u64,
        /// Bytes.
        length: u64,
    },
    /// Moves bytes of files into a stripe, which must be durable before this is proposed. Nobody sees a
    /// change: neither size nor times nor change attribute. What is not any more as it was seen stays where it is.
    Relocate {
        /// The key of the digests in `moves`, drawn at random by the proposer.
        key: [u8; 16],
        /// Where they go, in the slot of the files.
        stripe: StripeId,
        /// The stripe itself, in the first command that refers to it; taken over if any move has an effect.
        new: Option<NewStripe>,
        /// What goes where in the stripe, in order and without overlap.
        moves: Vec<Move>,
    },
    /// Grants stripe identities in the slot of an inode.
    GrantStripes {
        /// The inode whose slot they are of.
        near: InodeId,
        /// How many.
        count: u32,
    },
    /// The orphan is no longer open.
    DropOrphan {
        /// The inode.
        ino: InodeId,
    },
    /// Goes on with what is left to be done about an inode.
    Drain {
        /// The inode.
        ino: InodeId,
    },
    /// The chunks of these garbage stripes are gone from their drives.
    ForgetStripes {
        /// The stripes.
        stripes: Vec<StripeId>,
    },
    /// Whichever of these stripes of one slot, granted before, no filesystem knows will never be committed: see
    /// [`crate::Reply::Buried`]. What drives have of them may be freed then.
    Bury {
        /// The stripes.
        stripes: Vec<StripeId>,
    },
    /// Who was granted these stripes of one slot is gone: nobody could commit them any more.
    Unbury {
        /// The stripes.
        stripes: Vec<StripeId>,
    },
    /// Notes how far the stripes of the slot of `near` have been read again.
    NoteScrub {
        /// An inode of the slot.
        near: InodeId,
        /// What to note.
        scrub: Scrub,
    },
    /// Nobody will retry what was sent on these channels: replays in the slot of `near` are forgotten.
    ForgetReplays {
        /// At most [`types::limits::COMMAND_KEYS_MAX`].
        channels: Vec<Channels>,
        /// An inode of the slot.
        near: InodeId,
    },
    /// Remembers a client over restarts; what is `None` stays as it is. A client of whom there is nothing to know is
    /// forgotten.
    KeepClient {
        /// The client.
        client: u128,
        /// The kinds of state that it may have.
        holds: Option<Holds>,
        /// What a head has to know of it.
        kept: Option<Kept>,
    },
    /// These clients have nothing any more; what heads keep of them stays.
    DisownClients {
        /// At most [`types::limits::COMMAND_KEYS_MAX`].
        clients: Vec<u128>,
    },
    /// The clients have ended, and are remembered only until their replays are forgotten.
    EndClients {
        /// At most [`types::limits::COMMAND_KEYS_MAX`].
        clients: Vec<u128>,
    },
    /// Of clients that have ended nothing is left.
    DropClients {
        /// At most [`types::limits::COMMAND_KEYS_MAX`].
        clients: Vec<u128>,
    },
}

/// Channels of a client.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Channels {
    /// The client.
    pub client: u128,
    /// The first channel.
    pub first: u32,
    /// The last one.
    pub last: u32,
}

impl Action {
    /// What it asks of the space that is left for logs and maps.
    #[must_use]
    pub fn claim(&self) -> Claim {
        match self {
            Action::MakeFilesystem { .. }
            | Action::Create(_)
            | Action::Link { .. }
            | Action::Stage { .. }
            | Action::MakeSystem
            | Action::CloneRange { .. } => Claim::New,
            // What is staged has been taken already; without a name it would be lost.
            Action::Put(put) if matches!(put.source, PutSource::Staged(_)) => Claim::Other,
            Action::Put(_) => Claim::New,
            Action::SetSystem { value, .. } if value.is_some() => Claim::New,
            Action::SetXattr { value, .. } if value.is_some() => Claim::New,
            Action::Space { space, .. } if *space != Space::Punch => Claim::New,
            Action::SetAttr { set, .. } if set.size.is_none() => Claim::Other,
            Action::Rename { .. }
            | Action::Retain { .. }
            | Action::Guard { .. }
            | Action::Relocate { .. }
            | Action::NoteScrub { .. }
            | Action::Bury { .. }
            | Action::Unbury { .. } => Claim::Other,
            // What is committed was promised, and what a client may have has to be known before it can remove anything.
            _ => Claim::Freeing,
        }
    }
}

/// What a command asks of the space that is left for logs and maps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Claim {
    /// It is for something new: refused where space is short.
    New,
    /// It neither needs nor frees anything to speak of: refused where it could use up what freeing needs. An NFS client
    /// that removes an open file renames it.
    Other,
    /// It frees space, or was promised that it fits.
    Freeing,
}

/// An inode to make.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Create {
    /// The directory.
    pub dir: InodeId,
    /// The name.
    pub name: Name,
    /// What to make.
    pub node: NodeSpec,
    /// Permission bits, after the umask.
    pub mode: Mode,
    /// Further attributes.
    pub set: SetAttr,
    /// What to do about an existing one.
    pub exists: Exists,
    /// Of an exclusive create (RFC 8881 18.16.3).
    pub verifier: Option<[u8; 8]>,
}

/// What to make.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum NodeSpec {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link to this.
    Symlink(Bytes),
    /// A FIFO.
    Fifo,
    /// A socket.
    Socket,
    /// A character device.
    CharDevice(Device),
    /// A block device.
    BlockDevice(Device),
}

/// What to do about an existing name.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Exists {
    /// Fail.
    Fail,
    /// Create: take it as it is. Rename: replace it.
    Accept,
    /// Rename: the two change places.
    Exchange,
    /// Rename: fail. A file is moved also when it is retained, as heads do with versions.
    Restore,
}

/// A whole file and the name that it gets.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Put {
    /// The directory.
    pub dir: InodeId,
    /// The name.
    pub name: Name,
    /// The file.
    pub source: PutSource,
    /// System attributes that it gets.
    pub values: Vec<(Name, Bytes)>,
    /// The condition.
    pub only: PutIf,
    /// The inode that the proposer saw at the name. Another one is answered with [`crate::Failure::Moved`].
    pub seen: Option<InodeId>,
    /// Keep it as an orphan if this was its last name.
    pub keep: bool,
    /// Give it this name in this directory instead, whoever may change that, and also when it is retained.
    pub aside: Option<(InodeId, Name)>,
    /// What keeps the new file as it is from now on.
    pub retention: Retention,
}

/// The file of a [`Put`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum PutSource {
    /// An orphan that [`Action::Stage`] has made.
    Staged(InodeId),
    /// A new one, of at most 4 KiB.
    Content {
        /// All of it.
        data: Bytes,
        /// Permission bits, after the umask.
        mode: Mode,
    },
    /// A new one, whose bytes are in this command or in stripes in the slot of the directory, durable before this is
    /// proposed.
    Laid {
        /// Stripes that its extents refer to.
        stripes: Vec<NewStripe>,
        /// Its runs, in order, without overlap.
        extents: Vec<Extent>,
        /// Permission bits, after the umask.
        mode: Mode,
    },
}

/// The condition of a [`Put`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum PutIf {
    /// None.
    Any,
    /// The name is free.
    Absent,
    /// It is this inode's, with this content.
    Is {
        /// The inode.
        ino: InodeId,
        /// Its content.
        content: u64,
    },
}

/// What happens to a range.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Space {
    /// Holes become reserved.
    Reserve,
    /// Data become holes.
    Punch,
    /// Everything becomes reserved zeros.
    Zero,
}

/// A stripe that has been written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewStripe {
    /// Which.
    pub stripe: StripeId,
    /// The row of the group table.
    pub group: GroupId,
    /// Data chunks.
    pub data_chunks: u8,
    /// Parity chunks.
    pub parity_chunks: u8,
    /// The cells of the group that hold a chunk, one bit each.
    pub cells: u32,
    /// Bytes of data.
    pub length: u32,
}

/// A run of a file to commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extent {
    /// Where in the file.
    pub offset: u64,
    /// The bytes themselves, or where they are in a stripe of this command.
    pub source: Changed,
}

/// Where committed bytes are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Changed {
    /// Here.
    Inline(Bytes),
    /// In a stripe, from byte `at`.
    Stripe {
        /// The stripe.
        stripe: StripeId,
        /// The first byte in it.
        at: u32,
        /// Bytes.
        length: u32,
    },
}

impl Extent {
    /// Number of bytes.
    #[must_use]
    pub fn length(&self) -> u64 {
        match &self.source {
            Changed::Inline(bytes) => bytes.len() as u64,
            Changed::Stripe { length, .. } => u64::from(*length),
        }
    }
}

/// Bytes of a file that are in a stripe, too.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Move {
    /// The file.
    pub ino: InodeId,
    /// Where in it.
    pub offset: u64,
    /// How many.
    pub length: u32,
    /// What was seen there.
    pub seen: Seen,
    /// Where in the stripe.
    pub at: u32,
}

/// What stood in the place of bytes that are to be moved.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Seen {
    /// Extents that hold their bytes themselves, without a gap: [`crate::digest`] of all.
    Unfolded {
        /// Of the bytes, under the key of the command.
        digest: [u8; 16],
        /// Number of extents.
        extents: u32,
    },
    /// One extent of this length that refers to bytes of a stripe: a stripe never changes.
    Piece {
        /// The stripe.
        stripe: StripeId,
        /// Where the piece begins in it.
        piece: u32,
        /// The first byte in the piece.
        within: u32,
    },
}

impl Seen {
    /// Number of extents.
    pub(crate) fn extents(&self) -> u32 {
        match self {
            Seen::Unfolded { extents, .. } => *extents,
            Seen::Piece { .. } => 1,
        }
    }
}
