//! What is said over the administration interface. Names are relied upon from outside; numbers that
//! nobody counts yet are absent (`null`), never zero.

use serde::{Deserialize, Serialize};

/// Whether anything is wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// Nothing is lost and everything has its full protection.
    Healthy,
    /// Everything can be read; something has less than its full protection.
    Degraded,
    /// Something cannot be read.
    Lost,
}

/// How many more domains can fail at once before something is lost.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct FailuresLeft {
    /// For file contents.
    pub data: u8,
    /// For names and attributes.
    pub metadata: u8,
}

/// Bytes on all drives together. `live + garbage + orphan + metadata = used`. What each of them counts to the
/// byte is in `docs/reference/capacity.md`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Capacity {
    /// What the drives have for chunks, and what logs and maps take beside.
    pub total: u64,
    /// What is occupied.
    pub used: u64,
    /// Chunks of stripes that files need.
    pub live: Option<u64>,
    /// Chunks of stripes that no file needs, not freed yet.
    pub garbage: Option<u64>,
    /// Chunks that no map knows: of writes on their way, or that never came to an end.
    pub orphan: Option<u64>,
    /// Logs and maps.
    pub metadata: Option<u64>,
    /// What logs and maps may still take on the fullest file system of a drive before nothing new is taken any more.
    pub metadata_left: Option<u64>,
    /// Kept back so that removing always works, and promised to data not yet written.
    pub reserved: Option<u64>,
    /// Bytes of data in live stripes that no file needs any more, before protection.
    pub dead: Option<u64>,
    /// Chunks that stripes should have and no drive has now.
    pub missing: Option<u64>,
}

/// What a background job has done since the start, in bytes, and what it has to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Job {
    /// Done.
    pub bytes: u64,
    /// To do; absent while nobody knows.
    pub left: Option<u64>,
}

/// What counting everything again has found since the start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Recounted {
    /// Passes over everything.
    pub passes: u64,
    /// Accounts that were wrong.
    pub differences: u64,
    /// Bytes of chunks that no map knew in the last pass.
    pub orphan: Option<u64>,
    /// Bytes of chunks that stripes lacked in the last pass.
    pub missing: Option<u64>,
}

/// What reading everything again has found since the start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Scrubbed {
    /// Bytes of chunks read.
    pub bytes: u64,
    /// Bytes of chunks whose turn it is and that have not been read yet.
    pub left: u64,
    /// Stripes with too few chunks left, when they were looked at last.
    pub lost: u64,
    /// Everything that was written before this moment has been read since: seconds since 1970; absent while something
    /// has never been read again.
    pub since: Option<i64>,
}

/// What goes on without being asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Background {
    /// Chunks of garbage freed.
    pub freed: Job,
    /// Bytes of small writes moved from the metadata into stripes.
    pub folded: Job,
    /// Bytes moved out of stripes that few files need still; what is left is all that is dead in live stripes, of
    /// which not all is worth it.
    pub cleaned: Job,
    /// Chunks written anew in the place of drives that are gone.
    pub rebuilt: Job,
    /// Everything counted again.
    pub recounted: Recounted,
    /// Everything read again.
    pub scrubbed: Scrubbed,
}

/// What was read of drives and is kept in memory, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct DataCache {
    /// What it may take.
    pub budget: u64,
    /// What it takes.
    pub used: u64,
    /// Read from it since the start.
    pub found: u64,
    /// Read from drives since the start, as it did not have them.
    pub missed: u64,
}

/// Damage since the data folder was made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Integrity {
    /// Blocks whose checksum did not fit.
    pub found: u64,
    /// Of these, those that were written anew from what was left.
    pub repaired: u64,
}

/// `plexus status`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Status {
    /// Whether anything is wrong.
    pub health: Health,
    /// How many more failures are survived.
    pub failures_left: FailuresLeft,
    /// Bytes.
    pub capacity: Capacity,
    /// Damage.
    pub integrity: Integrity,
    /// What goes on beside.
    pub background: Background,
    /// Data that were read, for who reads them again.
    #[serde(default)]
    pub data_cache: DataCache,
    /// Filesystems that are being removed.
    #[serde(default)]
    pub removing: Vec<Removal>,
    /// Records that a check under way has read; absent without one.
    #[serde(default)]
    pub checking: Option<u64>,
    /// The daemon's version.
    pub version: String,
    /// Where the NFS head listens; absent when it does not.
    pub nfs: Option<String>,
    /// Where the S3 head listens; absent without one.
    #[serde(default)]
    pub s3: Option<String>,
    /// Where events of buckets are sent to.
    #[serde(default)]
    pub webhooks: Vec<Webhook>,
    /// Seconds since the daemon was ready.
    pub uptime_seconds: u64,
}

/// A target of bucket notifications.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Webhook {
    /// Its name.
    pub name: String,
    /// Events that it has not taken yet.
    pub waiting: u64,
    /// Events that it has taken since the start.
    pub delivered: u64,
    /// Attempts that failed since the start.
    pub failed: u64,
    /// Events that were given up since the start.
    pub dropped: u64,
}

/// What a drive does.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DriveState {
    /// In service.
    Serving,
    /// Being filled in the place of another.
    Filling,
    /// Out of service.
    Failed,
    /// Not found at the start.
    Missing,
}

/// One drive.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Drive {
    /// Its number.
    pub id: u32,
    /// Its folder.
    pub path: String,
    /// What it does.
    pub state: DriveState,
    /// Its bytes.
    pub size: u64,
    /// Bytes occupied.
    pub used: u64,
}

/// `plexus drive list`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Drives {
    /// All of them, by number.
    pub drives: Vec<Drive>,
}

/// One damaged thing.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Damage {
    /// What kind of damage, as a word for programs.
    pub kind: String,
    /// What is damaged and how, for people.
    pub what: String,
}

/// `plexus fsck`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FsckReport {
    /// Inodes looked at.
    pub inodes: u64,
    /// Directory entries looked at.
    pub entries: u64,
    /// Chunks looked at.
    pub chunks: u64,
    /// Records of filesystems that are being removed, not counted above.
    #[serde(default)]
    pub removing: u64,
    /// All that is wrong; empty when clean.
    pub damage: Vec<Damage>,
}

/// One chunk of a file.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ChunkPlace {
    /// The stripe.
    pub stripe: u64,
    /// The chunk's position in it; from D on it is parity.
    pub index: u8,
    /// The drive.
    pub drive: u32,
    /// The file on this machine that holds it.
    pub file: String,
    /// Where in that file, in bytes.
    pub offset: u64,
    /// How many bytes.
    pub length: u64,
}

/// `plexus explain placement`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ChunkPlaces {
    /// Each chunk of each stripe that the file needs; none for a file inside its inode.
    pub chunks: Vec<ChunkPlace>,
}

/// A filesystem to make.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateFilesystem {
    /// Its name.
    pub name: String,
}

/// A filesystem to remove.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeleteFilesystem {
    /// Its name.
    pub name: String,
    /// Also while it is exported, mounted, or files of it are open.
    pub force: bool,
    /// Also what is retained in it (object lock).
    pub retained: bool,
}

/// A filesystem that is being removed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Removal {
    /// Its number.
    pub id: u32,
    /// The name that it had.
    pub name: String,
    /// Inodes left.
    pub inodes: u64,
    /// Bytes left on drives, with headers, padding and parity.
    pub left: u64,
}

/// One filesystem.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FilesystemReport {
    /// Its number.
    pub id: u32,
    /// Its name.
    pub name: String,
    /// Bytes of its files, before protection.
    pub used: Option<u64>,
    /// Its inodes.
    pub inodes: Option<u64>,
}

/// `plexus filesystem list`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Filesystems {
    /// All of them, by name.
    pub filesystems: Vec<FilesystemReport>,
}

/// An export to add or to change, in the words of the configuration. What is not said stays as it is, or is what the
/// configuration has as the default when the export is new.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SetExport {
    /// The path that clients mount.
    pub path: String,
    /// The filesystem behind it; must be said of a new one.
    pub filesystem: Option<String>,
    /// Who may mount; an empty list is nobody.
    pub clients: Option<Vec<String>>,
    /// `none`, `root` or `all`.
    pub squash: Option<String>,
    /// `UID:GID` of the squashed.
    pub anonymous: Option<String>,
    /// `rw` or `ro`.
    pub access: Option<String>,
    /// `any` or `privileged`.
    pub ports: Option<String>,
}

/// An S3 access key to make.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateS3Key {
    /// The account that it is of; made with its first key.
    pub name: String,
    /// As which user of this machine the account uses files: by name or number; that of the account's first key, and
    /// `nobody` where that said nothing.
    #[serde(default)]
    pub user: Option<String>,
    /// By which grants may name the account, too.
    #[serde(default)]
    pub email: Option<String>,
}

/// An S3 access key; its secret is told once, when it is made.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct S3KeyReport {
    /// What requests name it by.
    pub access_key: String,
    /// What they are signed with.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub secret_key: Option<String>,
    /// The account.
    pub name: String,
    /// The account in ACLs.
    pub canonical_id: String,
    /// How clients show it.
    pub display_name: String,
    /// As which user it uses files.
    pub user: String,
    /// By which grants may name it, too.
    pub email: Option<String>,
}

/// All S3 access keys.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct S3Keys {
    /// By account.
    pub keys: Vec<S3KeyReport>,
}

/// Who has said what an export is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExportSource {
    /// The configuration, or nobody: the export that there is without one.
    Configuration,
    /// `plexus export set`.
    Set,
}

/// One export, in the words of the configuration.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ExportReport {
    /// The path that clients mount.
    pub path: String,
    /// The filesystem behind it.
    pub filesystem: String,
    /// Who may mount.
    pub clients: Vec<String>,
    /// `none`, `root` or `all`.
    pub squash: String,
    /// `UID:GID` of the squashed.
    pub anonymous: String,
    /// `rw` or `ro`.
    pub access: String,
    /// `any` or `privileged`.
    pub ports: String,
    /// Who has said so.
    pub source: ExportSource,
}

/// `plexus export list`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Exports {
    /// All of them, by path.
    pub exports: Vec<ExportReport>,
}

impl ExportReport {
    /// Of an export and its source.
    #[must_use]
    pub fn new(export: &serve::Export, source: ExportSource) -> ExportReport {
        ExportReport {
            path: export.path.clone(),
            filesystem: export.filesystem.clone(),
            clients: export.clients.iter().map(ToString::to_string).collect(),
            squash: export.squash.to_string(),
            anonymous: export.anonymous.to_string(),
            access: export.access.to_string(),
            ports: export.ports.to_string(),
            source,
        }
    }
}
