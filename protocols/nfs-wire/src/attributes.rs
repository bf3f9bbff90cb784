//! File attributes: one table gives their numbers, types and both directions.

use crate::{
    ATTR_BYTES_MAX, Bitmap, FileHandle, FileType, Fsid, ModeMask, OpenArguments, SetTime, SpecData, Status,
    Time,
};
use bytes::Bytes;
use xdr::{Decode, Decoder, Encode, Encoder, Opaque, XdrError};

/// Owner strings and the like.
type Text = Opaque<1024>;

/// fattr4: a set of numbers and the values in order of the numbers, not looked into.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Fattr {
    /// Which attributes.
    pub mask: Bitmap,
    /// Their values.
    pub values: Bytes,
}

impl Encode for Fattr {
    fn encode(&self, e: &mut Encoder) {
        self.mask.encode(e);
        e.shared_opaque(&self.values);
    }
}

impl Decode for Fattr {
    fn decode(d: &mut Decoder) -> Result<Fattr, XdrError> {
        Ok(Fattr { mask: Bitmap::decode(d)?, values: d.opaque(ATTR_BYTES_MAX)? })
    }
}

macro_rules! attributes {
    ($($(#[$meta:meta])* $number:literal $name:ident $constant:ident: $type:ty,)*) => {
        /// Attribute numbers (RFC 8881 section 5.8, RFC 7862 section 12.2, RFC 8275, RFC 8276, RFC 9754).
        pub mod attr {
            $($(#[$meta])* pub const $constant: u32 = $number;)*
        }

        /// Values of attributes; `None` where there is none.
        #[derive(Clone, PartialEq, Eq, Debug, Default)]
        pub struct Attributes {
            $($(#[$meta])* pub $name: Option<$type>,)*
        }

        impl Attributes {
            /// Every attribute of this table.
            pub const KNOWN: Bitmap = Bitmap::of(&[$($number),*]);

            /// Those of `wanted` that have a value, for the wire.
            #[must_use]
            pub fn to_fattr(&self, wanted: &Bitmap) -> Fattr {
                let mut mask = Bitmap::default();
                let mut e = Encoder::new();
                $(if let Some(value) = &self.$name && wanted.contains($number) {
                    mask.insert($number);
                    value.encode(&mut e);
                })*
                Fattr { mask, values: e.into_bytes() }
            }

            /// The values of `fattr`.
            ///
            /// # Errors
            /// [`Status::AttrNotSupp`] for numbers that are not in the table, [`Status::BadXdr`] for values
            /// that are not of their types.
            pub fn from_fattr(fattr: &Fattr) -> Result<Attributes, Status> {
                if !fattr.mask.is_subset(&Attributes::KNOWN) {
                    return Err(Status::AttrNotSupp);
                }
                let mut values = Decoder::new(fattr.values.clone());
                let mut attributes = Attributes::default();
                $(if fattr.mask.contains($number) {
                    let value = <$type as Decode>::decode(&mut values).map_err(|_| Status::BadXdr)?;
                    attributes.$name = Some(value);
                })*
                if values.remaining() > 0 { Err(Status::BadXdr) } else { Ok(attributes) }
            }
        }
    };
}

attributes! {
    /// Attributes that GETATTR or SETATTR take.
    0 supported_attrs SUPPORTED_ATTRS: Bitmap,
    /// Kind of file.
    1 file_type TYPE: FileType,
    /// Whether handles expire; 0 is never.
    2 fh_expire_type FH_EXPIRE_TYPE: u32,
    /// The change attribute.
    3 change CHANGE: u64,
    /// Bytes of content.
    4 size SIZE: u64,
    /// Whether there are hard links.
    5 link_support LINK_SUPPORT: bool,
    /// Whether there are symbolic links.
    6 symlink_support SYMLINK_SUPPORT: bool,
    /// Whether this one has named attributes (of OPENATTR).
    7 named_attr NAMED_ATTR: bool,
    /// The filesystem.
    8 fsid FSID: Fsid,
    /// Whether different handles mean different files.
    9 unique_handles UNIQUE_HANDLES: bool,
    /// Seconds of a lease.
    10 lease_time LEASE_TIME: u32,
    /// Why READDIR could not give the attributes of an entry.
    11 rdattr_error RDATTR_ERROR: Status,
    /// Whether times can be set.
    15 cansettime CANSETTIME: bool,
    /// Whether names that differ in case only are the same.
    16 case_insensitive CASE_INSENSITIVE: bool,
    /// Whether names keep their case.
    17 case_preserving CASE_PRESERVING: bool,
    /// Whether only the superuser changes owners.
    18 chown_restricted CHOWN_RESTRICTED: bool,
    /// The handle.
    19 filehandle FILEHANDLE: FileHandle,
    /// The inode number.
    20 fileid FILEID: u64,
    /// Inodes that the caller may still make.
    21 files_avail FILES_AVAIL: u64,
    /// Inodes that may still be made.
    22 files_free FILES_FREE: u64,
    /// Inodes in all.
    23 files_total FILES_TOTAL: u64,
    /// Whether all files of the filesystem support the same attributes.
    26 homogeneous HOMOGENEOUS: bool,
    /// Largest size of a file.
    27 maxfilesize MAXFILESIZE: u64,
    /// Most names of a file.
    28 maxlink MAXLINK: u32,
    /// Most bytes of a name.
    29 maxname MAXNAME: u32,
    /// Most bytes of a READ.
    30 maxread MAXREAD: u64,
    /// Most bytes of a WRITE.
    31 maxwrite MAXWRITE: u64,
    /// Permission bits.
    33 mode MODE: u32,
    /// Whether names that are too long are refused.
    34 no_trunc NO_TRUNC: bool,
    /// Number of names.
    35 numlinks NUMLINKS: u32,
    /// User, as a decimal number.
    36 owner OWNER: Text,
    /// Group, as a decimal number.
    37 owner_group OWNER_GROUP: Text,
    /// Numbers of a device.
    41 rawdev RAWDEV: SpecData,
    /// Bytes that the caller may still use.
    42 space_avail SPACE_AVAIL: u64,
    /// Bytes that nobody uses.
    43 space_free SPACE_FREE: u64,
    /// Bytes in all.
    44 space_total SPACE_TOTAL: u64,
    /// Bytes that this file occupies.
    45 space_used SPACE_USED: u64,
    /// Last read.
    47 time_access TIME_ACCESS: Time,
    /// Sets the last read.
    48 time_access_set TIME_ACCESS_SET: SetTime,
    /// Creation.
    50 time_create TIME_CREATE: Time,
    /// Smallest difference of two times.
    51 time_delta TIME_DELTA: Time,
    /// Last change of anything.
    52 time_metadata TIME_METADATA: Time,
    /// Last change of content.
    53 time_modify TIME_MODIFY: Time,
    /// Sets the last change of content.
    54 time_modify_set TIME_MODIFY_SET: SetTime,
    /// Inode number of the directory that this one is mounted on.
    55 mounted_on_fileid MOUNTED_ON_FILEID: u64,
    /// Sets some permission bits.
    74 mode_set_masked MODE_SET_MASKED: ModeMask,
    /// Attributes that an exclusive create takes.
    75 suppattr_exclcreat SUPPATTR_EXCLCREAT: Bitmap,
    /// Alignment of CLONE.
    77 clone_blksize CLONE_BLKSIZE: u32,
    /// How the change attribute changes; 0 is growing.
    79 change_attr_type CHANGE_ATTR_TYPE: u32,
    /// Permission bits and the umask to take off them.
    81 mode_umask MODE_UMASK: ModeMask,
    /// Whether there are extended attributes.
    82 xattr_support XATTR_SUPPORT: bool,
    /// What OPEN understands.
    86 open_arguments OPEN_ARGUMENTS: OpenArguments,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_go_in_order_of_their_numbers() {
        let attributes = Attributes {
            mode: Some(0o644),
            size: Some(5),
            xattr_support: Some(true),
            ..Attributes::default()
        };
        let fattr = attributes.to_fattr(&Attributes::KNOWN);
        assert_eq!(&fattr.values[..], b"\0\0\0\0\0\0\0\x05\0\0\x01\xa4\0\0\0\x01");
        assert_eq!(Attributes::from_fattr(&fattr), Ok(attributes));
    }

    #[test]
    fn values_too_few_or_too_many_are_refused() {
        let mask = Bitmap::of(&[attr::SIZE]);
        for values in [&b"\0\0\0\0"[..], b"\0\0\0\0\0\0\0\0\0\0\0\0"] {
            let fattr = Fattr { mask, values: Bytes::from_static(values) };
            assert_eq!(Attributes::from_fattr(&fattr), Err(Status::BadXdr));
        }
        let acl = Fattr { mask: Bitmap::of(&[12]), values: Bytes::new() };
        assert_eq!(Attributes::from_fattr(&acl), Err(Status::AttrNotSupp));
    }
}
