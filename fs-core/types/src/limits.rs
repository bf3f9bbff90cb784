//! Every limit, stated once.

/// Bytes of a directory entry's name.
pub const NAME_BYTES_MAX: usize = 255;
/// Bytes of a symlink's target.
pub const SYMLINK_BYTES_MAX: usize = 4095;
/// Bytes of an extended attribute's name.
pub const XATTR_NAME_BYTES_MAX: usize = 255;
/// Bytes of an extended attribute's value.
pub const XATTR_VALUE_BYTES_MAX: usize = 64 * 1024;
/// Bytes of all extended attribute names of an inode, each with a NUL.
pub const XATTR_LIST_BYTES_MAX: usize = 64 * 1024;
/// System attributes of an inode.
pub const SYSTEM_ATTRIBUTES_MAX: usize = 16;
/// Bytes of the system attributes that are set together with a file's name.
pub const SYSTEM_PUT_BYTES_MAX: usize = 128 * 1024;
/// Largest size of a file in bytes.
pub const FILE_BYTES_MAX: u64 = i64::MAX as u64;
/// Names of one inode.
pub const LINKS_MAX: u32 = 65_000;
/// Supplementary groups of a caller.
pub const GROUPS_MAX: usize = 65_536;
/// Bytes of one read or write through the contract.
pub const IO_BYTES_MAX: usize = 1 << 20;
/// Content up to this many bytes is kept in the inode.
pub const INLINE_FILE_BYTES_MAX: usize = 4096;
/// A durable write up to this many bytes travels inside its commit command.
pub const INLINE_WRITE_BYTES_MAX: usize = 16 * 1024;
/// Unit of chunks, checksums and allocation on a drive.
pub const BLOCK_BYTES: usize = 4096;
/// Largest chunk of a stripe.
pub const CHUNK_BYTES_MAX: usize = 1 << 20;
/// Most data chunks of a stripe.
pub const DATA_CHUNKS_MAX: usize = 16;
/// Most parity chunks of a stripe.
pub const PARITY_CHUNKS_MAX: usize = 4;
/// Bytes of an encoded command.
pub const COMMAND_BYTES_MAX: usize = 256 * 1024;
/// Keys that one command changes.
pub const COMMAND_KEYS_MAX: usize = 1000;
/// Bytes of what a head keeps of a client over restarts.
pub const CLIENT_RECORD_BYTES_MAX: usize = 16 * 1024;
/// Clients that are remembered over restarts.
pub const CLIENTS_MAX: usize = 65_536;
/// Entries of one listing reply.
pub const READDIR_ENTRIES_MAX: usize = 1024;

const _: () = assert!(INLINE_FILE_BYTES_MAX <= INLINE_WRITE_BYTES_MAX);
const _: () = assert!(INLINE_WRITE_BYTES_MAX + 4096 < COMMAND_BYTES_MAX);
const _: () = assert!(XATTR_VALUE_BYTES_MAX + XATTR_NAME_BYTES_MAX + 4096 < COMMAND_BYTES_MAX);
const _: () = assert!(CHUNK_BYTES_MAX.is_multiple_of(BLOCK_BYTES));
