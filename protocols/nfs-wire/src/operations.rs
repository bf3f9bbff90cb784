//! The table of operations.

use crate::args::*;
use crate::replies::*;
use crate::{LockDenied, Status};
use xdr::{Decode, Decoder, Encode, Encoder, XdrError, xdr_enum};

macro_rules! operations {
    (served { $($number:literal $name:ident($args:ty) -> $reply:ty,)* }
     refused { $($refused_number:literal $refused:ident,)* }) => {
        xdr_enum! {
            /// nfs_opnum4.
            #[expect(missing_docs, reason = "named as in the RFCs")]
            pub enum Op { $($name = $number,)* $($refused = $refused_number,)* Illegal = 10044 }
        }

        impl Op {
            /// The operation with this number, if there is one.
            #[must_use]
            pub fn from_number(number: u32) -> Option<Op> {
                match number {
                    $($number => Some(Op::$name),)*
                    $($refused_number => Some(Op::$refused),)*
                    _ => None,
                }
            }
        }

        /// An operation and its arguments.
        #[derive(Clone, PartialEq, Eq, Debug)]
        #[expect(missing_docs, reason = "named as in the RFCs")]
        pub enum Args { $($name($args),)* }

        impl Args {
            /// Takes the arguments of `op`; `None` for an operation that is known but not served.
            ///
            /// # Errors
            /// [`XdrError`] when they are malformed.
            pub fn decode(op: Op, d: &mut Decoder) -> Result<Option<Args>, XdrError> {
                match op {
                    $(Op::$name => <$args as Decode>::decode(d).map(|args| Some(Args::$name(args))),)*
                    _ => Ok(None),
                }
            }

            /// Which operation it is.
            #[must_use]
            pub fn op(&self) -> Op {
                match self { $(Args::$name(_) => Op::$name,)* }
            }
        }

        /// The number of the operation, then its arguments.
        impl Encode for Args {
            fn encode(&self, e: &mut Encoder) {
                match self {
                    $(Args::$name(args) => { e.u32($number); args.encode(e); })*
                }
            }
        }

        /// What an operation that went well answers.
        #[derive(Clone, PartialEq, Eq, Debug)]
        #[expect(missing_docs, reason = "named as in the RFCs")]
        pub enum Reply { $($name($reply),)* }

        impl Reply {
            /// Which operation it is of.
            #[must_use]
            pub fn op(&self) -> Op {
                match self { $(Reply::$name(_) => Op::$name,)* }
            }

            fn encode(&self, e: &mut Encoder) {
                match self { $(Reply::$name(reply) => reply.encode(e),)* }
            }

            fn decode(op: Op, d: &mut Decoder) -> Result<Reply, XdrError> {
                match op {
                    $(Op::$name => <$reply as Decode>::decode(d).map(Reply::$name),)*
                    _ => Err(XdrError::Invalid),
                }
            }
        }
    };
}

operations! {
    served {
        3 Access(AccessArgs) -> AccessOk,
        4 Close(CloseArgs) -> StateidOk,
        5 Commit(CommitArgs) -> VerifierOk,
        6 Create(CreateArgs) -> CreateOk,
        8 Delegreturn(DelegreturnArgs) -> (),
        9 Getattr(GetattrArgs) -> GetattrOk,
        10 Getfh(()) -> GetfhOk,
        11 Link(LinkArgs) -> ChangeOk,
        12 Lock(LockArgs) -> LockOutcome<StateidOk>,
        13 Lockt(LocktArgs) -> LockOutcome<()>,
        14 Locku(LockuArgs) -> StateidOk,
        15 Lookup(LookupArgs) -> (),
        16 Lookupp(()) -> (),
        17 Nverify(VerifyArgs) -> (),
        18 Open(OpenArgs) -> OpenOk,
        21 OpenDowngrade(OpenDowngradeArgs) -> StateidOk,
        22 Putfh(PutfhArgs) -> (),
        23 Putpubfh(()) -> (),
        24 Putrootfh(()) -> (),
        25 Read(ReadArgs) -> ReadOk,
        26 Readdir(ReaddirArgs) -> ReaddirOk,
        27 Readlink(()) -> ReadlinkOk,
        28 Remove(RemoveArgs) -> ChangeOk,
        29 Rename(RenameArgs) -> RenameOk,
        31 Restorefh(()) -> (),
        32 Savefh(()) -> (),
        33 Secinfo(SecinfoArgs) -> SecinfoOk,
        34 Setattr(SetattrArgs) -> SetattrOk,
        37 Verify(VerifyArgs) -> (),
        38 Write(WriteArgs) -> WriteOk,
        40 BackchannelCtl(BackchannelCtlArgs) -> (),
        41 BindConnToSession(BindConnArgs) -> BindConnOk,
        42 ExchangeId(ExchangeIdArgs) -> ExchangeIdOk,
        43 CreateSession(CreateSessionArgs) -> CreateSessionOk,
        44 DestroySession(DestroySessionArgs) -> (),
        45 FreeStateid(FreeStateidArgs) -> (),
        52 SecinfoNoName(SecinfoNoNameArgs) -> SecinfoOk,
        53 Sequence(SequenceArgs) -> SequenceOk,
        55 TestStateid(TestStateidArgs) -> TestStateidOk,
        57 DestroyClientid(DestroyClientidArgs) -> (),
        58 ReclaimComplete(ReclaimCompleteArgs) -> (),
        59 Allocate(AllocateArgs) -> (),
        60 Copy(CopyArgs) -> CopyOk,
        62 Deallocate(AllocateArgs) -> (),
        63 IoAdvise(IoAdviseArgs) -> IoAdviseOk,
        68 ReadPlus(ReadPlusArgs) -> ReadPlusOk,
        69 Seek(SeekArgs) -> SeekOk,
        71 Clone(CloneArgs) -> (),
        72 Getxattr(GetxattrArgs) -> GetxattrOk,
        73 Setxattr(SetxattrArgs) -> ChangeOk,
        74 Listxattrs(ListxattrsArgs) -> ListxattrsOk,
        75 Removexattr(RemovexattrArgs) -> ChangeOk,
    }
    refused {
        7 Delegpurge, 19 Openattr, 20 OpenConfirm, 30 Renew, 35 Setclientid,
        36 SetclientidConfirm, 39 ReleaseLockowner, 46 GetDirDelegation, 47 Getdeviceinfo,
        48 Getdevicelist, 49 Layoutcommit, 50 Layoutget, 51 Layoutreturn, 54 SetSsv, 56 WantDelegation,
        61 CopyNotify, 64 Layouterror, 65 Layoutstats, 66 OffloadCancel, 67 OffloadStatus, 70 WriteSame,
    }
}

impl Op {
    /// Whether minor version `minor` (1 or 2) has the operation.
    #[must_use]
    pub fn exists_in(self, minor: u32) -> bool {
        minor >= 2 || (self as u32) < Op::Allocate as u32
    }
}

impl<T: Encode> Encode for LockOutcome<T> {
    fn encode(&self, e: &mut Encoder) {
        match self {
            LockOutcome::Granted(reply) => reply.encode(e),
            LockOutcome::Denied(denied) => denied.encode(e),
        }
    }
}

impl<T: Decode> Decode for LockOutcome<T> {
    fn decode(d: &mut Decoder) -> Result<Self, XdrError> {
        T::decode(d).map(LockOutcome::Granted)
    }
}

impl Reply {
    /// The status that goes before it: anything but [`Status::Ok`] only for a lock that was denied.
    #[must_use]
    pub fn status(&self) -> Status {
        match self {
            Reply::Lock(LockOutcome::Denied(_)) | Reply::Lockt(LockOutcome::Denied(_)) => Status::Denied,
            _ => Status::Ok,
        }
    }
}

/// Appends nfs_resop4: the operation's number, its status and what goes with that.
pub fn encode_outcome(op: Op, outcome: &Result<Reply, Status>, e: &mut Encoder) {
    e.u32(op as u32);
    match outcome {
        Ok(reply) => {
            reply.status().encode(e);
            reply.encode(e);
        }
        Err(status) => {
            status.encode(e);
            // SETATTR says in any case what it has set (RFC 8881 section 18.30.2).
            if op == Op::Setattr {
                e.u32(0);
            }
        }
    }
}

/// Takes one nfs_resop4, for clients.
///
/// # Errors
/// [`XdrError`] when it is malformed or of an operation without a known reply.
pub fn decode_outcome(d: &mut Decoder) -> Result<(Op, Result<Reply, Status>), XdrError> {
    let op = Op::decode(d)?;
    let status = Status::decode(d)?;
    let outcome = match (op, status) {
        (_, Status::Ok) => Ok(Reply::decode(op, d)?),
        (Op::Lock, Status::Denied) => Ok(Reply::Lock(LockOutcome::Denied(LockDenied::decode(d)?))),
        (Op::Lockt, Status::Denied) => Ok(Reply::Lockt(LockOutcome::Denied(LockDenied::decode(d)?))),
        (Op::Setattr, status) => {
            crate::Bitmap::decode(d)?;
            Err(status)
        }
        (_, status) => Err(status),
    };
    Ok((op, outcome))
}
