//! The protocol's codes of success and failure.

use xdr::xdr_enum;

macro_rules! statuses {
    ($($name:ident = $value:literal,)*) => {
        xdr_enum! {
            /// nfsstat4 (RFC 8881 section 15.1, RFC 7862 section 11.1, RFC 8276 section 8.5).
            #[expect(missing_docs, reason = "each code is explained where it is defined, in the RFCs")]
            pub enum Status { $($name = $value),* }
        }
    };
}

statuses! {
    Ok = 0, Perm = 1, NoEnt = 2, Io = 5, NxIo = 6, Access = 13, Exist = 17, XDev = 18, NotDir = 20,
    IsDir = 21, Inval = 22, FBig = 27, NoSpc = 28, Rofs = 30, MLink = 31, NameTooLong = 63, NotEmpty = 66,
    DQuot = 69, Stale = 70, BadHandle = 10001, BadCookie = 10003, NotSupp = 10004, TooSmall = 10005,
    ServerFault = 10006, BadType = 10007, Delay = 10008, Same = 10009, Denied = 10010, Expired = 10011,
    Locked = 10012, Grace = 10013, FhExpired = 10014, ShareDenied = 10015, WrongSec = 10016,
    ClidInUse = 10017, Moved = 10019, NoFileHandle = 10020, MinorVersMismatch = 10021,
    StaleClientId = 10022, StaleStateId = 10023, OldStateId = 10024, BadStateId = 10025, BadSeqId = 10026,
    NotSame = 10027, LockRange = 10028, Symlink = 10029, RestoreFh = 10030, LeaseMoved = 10031,
    AttrNotSupp = 10032, NoGrace = 10033, ReclaimBad = 10034, ReclaimConflict = 10035, BadXdr = 10036,
    LocksHeld = 10037, OpenMode = 10038, BadOwner = 10039, BadChar = 10040, BadName = 10041,
    BadRange = 10042, LockNotSupp = 10043, OpIllegal = 10044, Deadlock = 10045, FileOpen = 10046,
    AdminRevoked = 10047, CbPathDown = 10048, BadIoMode = 10049, BadLayout = 10050, BadSession = 10052,
    BadSlot = 10053, CompleteAlready = 10054, ConnNotBoundToSession = 10055, SeqMisordered = 10063,
    SequencePos = 10064, ReqTooBig = 10065, RepTooBig = 10066, RepTooBigToCache = 10067,
    RetryUncachedRep = 10068, TooManyOps = 10070, OpNotInSession = 10071, HashAlgUnsupp = 10072,
    ClientIdBusy = 10074, SeqFalseRetry = 10076, BadHighSlot = 10077, DeadSession = 10078,
    EncrAlgUnsupp = 10079, NotOnlyOp = 10081, WrongCred = 10082, WrongType = 10083, DirDelegUnavail = 10084,
    RejectDeleg = 10085, ReturnConflict = 10086, DelegRevoked = 10087, PartnerNotSupp = 10088,
    PartnerNoAuth = 10089, UnionNotSupp = 10090, OffloadDenied = 10091, WrongLfs = 10092, BadLabel = 10093,
    OffloadNoReqs = 10094, NoXattr = 10095, Xattr2Big = 10096,
}
