//! Headers of ONC RPC calls and replies (RFC 5531).

use crate::{Decode, Decoder, Encode, Encoder, List, Opaque, XdrError, xdr_struct};

const CALL: u32 = 0;
const REPLY: u32 = 1;
const RPC_VERSION: u32 = 2;
/// Bytes of the body of a credential or verifier (RFC 5531 section 8.2).
const AUTH_BODY_BYTES_MAX: usize = 400;

/// Flavor of calls without identity.
pub const AUTH_NONE: u32 = 0;
/// Flavor of calls that name a user and groups of the client's choice.
pub const AUTH_SYS: u32 = 1;

/// Why the credential was refused (RFC 5531 auth_stat).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum AuthStat {
    /// The credential is malformed.
    BadCredential = 1,
    /// The flavor is not good enough here.
    TooWeak = 5,
}

xdr_struct! {
    /// The credential of AUTH_SYS (RFC 5531 appendix A).
    pub struct AuthSys {
        /// An arbitrary id of the client.
        pub stamp: u32,
        /// The client's name for itself.
        pub machine: Opaque<255>,
        /// The user.
        pub uid: u32,
        /// The user's group.
        pub gid: u32,
        /// Supplementary groups.
        pub gids: List<u32, 16>,
    }
}

/// Who calls.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Credential {
    /// Nobody in particular.
    None,
    /// The user that the client says.
    Sys(AuthSys),
    /// A flavor that is not spoken here.
    Other(u32),
}

/// The header of a call; the arguments follow it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Call {
    /// For the reply.
    pub xid: u32,
    /// Program number.
    pub program: u32,
    /// Version of the program.
    pub version: u32,
    /// Procedure of the program.
    pub procedure: u32,
    /// Who calls.
    pub credential: Credential,
}

/// A header that cannot be served.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CallError {
    /// Not a call at all: nobody waits for a reply.
    NotACall,
    /// To be answered with this.
    Refused {
        /// Of the call.
        xid: u32,
        /// What is wrong with it.
        why: ReplyStatus,
    },
}

/// How a call ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReplyStatus {
    /// The results follow.
    Success,
    /// The program is not served here.
    ProgramUnavailable,
    /// These versions of it are served.
    ProgramMismatch {
        /// Lowest version.
        low: u32,
        /// Highest version.
        high: u32,
    },
    /// The program has no such procedure.
    ProcedureUnavailable,
    /// The arguments cannot be decoded.
    GarbageArguments,
    /// RPC versions other than 2.
    RpcMismatch,
    /// The credential was refused.
    Denied(AuthStat),
}

impl Call {
    /// Takes the header off `d`.
    ///
    /// # Errors
    /// [`CallError`] says whether and how to answer.
    pub fn decode(d: &mut Decoder) -> Result<Call, CallError> {
        let xid = d.u32().map_err(|_| CallError::NotACall)?;
        if d.u32() != Ok(CALL) {
            return Err(CallError::NotACall);
        }
        let refuse = |why| CallError::Refused { xid, why };
        let garbage = |_: XdrError| refuse(ReplyStatus::GarbageArguments);
        if d.u32().map_err(garbage)? != RPC_VERSION {
            return Err(refuse(ReplyStatus::RpcMismatch));
        }
        let program = d.u32().map_err(garbage)?;
        let version = d.u32().map_err(garbage)?;
        let procedure = d.u32().map_err(garbage)?;
        let bad = |_: XdrError| refuse(ReplyStatus::Denied(AuthStat::BadCredential));
        let flavor = d.u32().map_err(bad)?;
        let body = d.opaque(AUTH_BODY_BYTES_MAX).map_err(bad)?;
        let _verifier_flavor = d.u32().map_err(bad)?;
        let _verifier = d.opaque(AUTH_BODY_BYTES_MAX).map_err(bad)?;
        let credential = match flavor {
            AUTH_NONE => Credential::None,
            AUTH_SYS => Credential::Sys(AuthSys::decode(&mut Decoder::new(body)).map_err(bad)?),
            other => Credential::Other(other),
        };
        Ok(Call { xid, program, version, procedure, credential })
    }

    /// Appends the header, for clients.
    pub fn encode(&self, e: &mut Encoder) {
        for word in [self.xid, CALL, RPC_VERSION, self.program, self.version, self.procedure] {
            e.u32(word);
        }
        let (flavor, body) = match &self.credential {
            Credential::None => (AUTH_NONE, Encoder::new()),
            Credential::Sys(sys) => {
                let mut body = Encoder::new();
                sys.encode(&mut body);
                (AUTH_SYS, body)
            }
            Credential::Other(flavor) => (*flavor, Encoder::new()),
        };
        e.u32(flavor);
        e.count(body.len());
        e.append(body);
        e.u32(AUTH_NONE);
        e.u32(0);
    }
}

impl ReplyStatus {
    /// Appends the header of the reply to call `xid`.
    pub fn encode(self, xid: u32, e: &mut Encoder) {
        e.u32(xid);
        e.u32(REPLY);
        let accepted = |e: &mut Encoder, status: u32| e.words(&[0, AUTH_NONE, 0, status]);
        match self {
            ReplyStatus::Success => {
                accepted(e, 0);
            }
            ReplyStatus::ProgramUnavailable => {
                accepted(e, 1);
            }
            ReplyStatus::ProgramMismatch { low, high } => {
                accepted(e, 2);
                e.u32(low);
                e.u32(high);
            }
            ReplyStatus::ProcedureUnavailable => {
                accepted(e, 3);
            }
            ReplyStatus::GarbageArguments => {
                accepted(e, 4);
            }
            ReplyStatus::RpcMismatch => {
                e.words(&[1, 0, RPC_VERSION, RPC_VERSION]);
            }
            ReplyStatus::Denied(why) => {
                e.words(&[1, 1, why as u32]);
            }
        }
    }

    /// Takes a reply's header off `d`, for clients: its xid and whether results follow.
    ///
    /// # Errors
    /// [`XdrError`] when it is no reply.
    pub fn decode_success(d: &mut Decoder) -> Result<(u32, bool), XdrError> {
        let xid = d.u32()?;
        if d.u32()? != REPLY {
            return Err(XdrError::Invalid);
        }
        if d.u32()? != 0 {
            return Ok((xid, false));
        }
        d.u32()?;
        d.opaque(AUTH_BODY_BYTES_MAX)?;
        Ok((xid, d.u32()? == 0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(credential: Credential) -> Call {
        Call { xid: 9, program: 100_003, version: 4, procedure: 1, credential }
    }

    #[test]
    fn calls_survive_the_wire() {
        let sys = AuthSys {
            stamp: 1,
            machine: Opaque(b"host"[..].into()),
            uid: 1000,
            gid: 100,
            gids: List(vec![4, 24]),
        };
        for credential in [Credential::None, Credential::Sys(sys)] {
            let mut e = Encoder::new();
            call(credential.clone()).encode(&mut e);
            let mut d = Decoder::new(e.into_bytes());
            assert_eq!(Call::decode(&mut d), Ok(call(credential)));
            assert_eq!(d.remaining(), 0);
        }
    }

    #[test]
    fn a_wrong_rpc_version_is_told() {
        let mut e = Encoder::new();
        e.words(&[7, CALL, 3]);
        let refused = CallError::Refused { xid: 7, why: ReplyStatus::RpcMismatch };
        assert_eq!(Call::decode(&mut Decoder::new(e.into_bytes())), Err(refused));
    }

    #[test]
    fn a_reply_is_not_a_call() {
        let mut e = Encoder::new();
        ReplyStatus::Success.encode(3, &mut e);
        let bytes = e.into_bytes();
        assert_eq!(Call::decode(&mut Decoder::new(bytes.clone())), Err(CallError::NotACall));
        assert_eq!(ReplyStatus::decode_success(&mut Decoder::new(bytes)), Ok((3, true)));
    }

    #[test]
    fn seventeen_groups_are_a_bad_credential() {
        let sys =
            AuthSys { stamp: 1, machine: Opaque::default(), uid: 0, gid: 0, gids: List((0..17).collect()) };
        let mut e = Encoder::new();
        call(Credential::Sys(sys)).encode(&mut e);
        let denied = CallError::Refused { xid: 9, why: ReplyStatus::Denied(AuthStat::BadCredential) };
        assert_eq!(Call::decode(&mut Decoder::new(e.into_bytes())), Err(denied));
    }
}
