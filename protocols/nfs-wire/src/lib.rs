//! NFSv4.1 and 4.2 on the wire: types, encode and decode only.
//!
//! Names follow RFC 8881 (4.1), RFC 7862 (4.2), RFC 8275 (umask) and RFC 8276 (extended attributes), where
//! each type is explained. Operations are decoded one by one, so that a compound fails where it is broken.

#![forbid(unsafe_code)]

mod args;
mod attributes;
mod bitmap;
mod callback;
mod compound;
mod operations;
mod replies;
mod status;
mod values;

pub use args::*;
pub use attributes::{Attributes, Fattr, attr};
pub use bitmap::Bitmap;
pub use callback::*;
pub use compound::{CompoundArgs, CompoundReply};
pub use operations::{Args, Op, Reply, decode_outcome, encode_outcome};
pub use replies::*;
pub use status::Status;
pub use values::*;

/// The RPC program of NFS.
pub const PROGRAM: u32 = 100_003;
/// The version of the program that this is.
pub const VERSION: u32 = 4;
/// The procedure that does nothing.
pub const PROC_NULL: u32 = 0;
/// The version of the program of callbacks, whose number the client chooses.
pub const CALLBACK_VERSION: u32 = 1;
/// The procedure that does all, of callbacks too.
pub const PROC_COMPOUND: u32 = 1;

/// Bytes of data in one READ or WRITE.
pub const IO_BYTES_MAX: usize = 1 << 20;
/// Bytes of a file handle (RFC 8881 section 3.1).
pub const HANDLE_BYTES_MAX: usize = 128;
/// Bytes of an owner's name (RFC 8881 section 3.1).
pub const OWNER_BYTES_MAX: usize = 1024;
/// Bytes of a path component as taken off the wire; longer than any name, so that the file system can tell
/// a name that is too long from a broken request.
pub const COMPONENT_BYTES_MAX: usize = 4096;
/// Bytes of the values of all attributes in one request.
pub const ATTR_BYTES_MAX: usize = 16 * 1024;
/// Bytes of an extended attribute's value as taken off the wire.
pub const XATTR_BYTES_MAX: usize = IO_BYTES_MAX;
