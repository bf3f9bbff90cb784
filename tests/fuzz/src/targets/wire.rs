//! Messages, each by itself.

use bytes::Bytes;
use nfs_wire::{Args, CompoundArgs, CompoundReply, Op, decode_outcome};
use std::sync::OnceLock;
use tokio::runtime::{Builder, Runtime};
use vfs::{Ctx, Request};
use xdr::rpc::{AuthSys, Call, Credential, ReplyStatus};
use xdr::{Decode, Decoder, Encode, Encoder, List, Opaque};

/// Operations of a compound that are looked at.
const OPERATIONS_MAX: u32 = 1000;

pub(crate) fn rpc(bytes: &[u8]) {
    let bytes = Bytes::copy_from_slice(bytes);
    let _ = ReplyStatus::decode_success(&mut Decoder::new(bytes.clone()));
    let mut d = Decoder::new(bytes.clone());
    let Ok(call) = Call::decode(&mut d) else { return };
    let mut again = Encoder::new();
    call.encode(&mut again);
    assert_eq!(Call::decode(&mut Decoder::new(again.into_bytes())).ok(), Some(call));
}

pub(crate) fn rpc_seeds() -> Vec<Vec<u8>> {
    let gids = List((0..3).collect());
    let sys = AuthSys { stamp: 1, machine: Opaque(Bytes::from_static(b"host")), uid: 1, gid: 2, gids };
    let seed = |credential| {
        let mut e = Encoder::new();
        Call { xid: 1, program: nfs_wire::PROGRAM, version: 4, procedure: 1, credential }.encode(&mut e);
        e.into_bytes().to_vec()
    };
    vec![seed(Credential::None), seed(Credential::Sys(sys))]
}

/// What is understood has one form: written and read again it is the same.
pub(crate) fn compound(bytes: &[u8]) {
    let bytes = Bytes::copy_from_slice(bytes);
    replies(&mut Decoder::new(bytes.clone()));
    let mut d = Decoder::new(bytes);
    let Ok(head) = CompoundArgs::decode(&mut d) else { return };
    for _ in 0..head.count.min(OPERATIONS_MAX) {
        let Some(op) = d.u32().ok().and_then(Op::from_number) else { return };
        let Ok(Some(args)) = Args::decode(op, &mut d) else { return };
        let mut e = Encoder::new();
        args.encode(&mut e);
        let mut again = Decoder::new(e.into_bytes());
        assert_eq!(again.u32().ok().and_then(Op::from_number), Some(op));
        assert_eq!(Args::decode(op, &mut again).ok().flatten(), Some(args));
        assert_eq!(again.remaining(), 0);
    }
}

fn replies(d: &mut Decoder) {
    let Ok(head) = CompoundReply::decode(d) else { return };
    for _ in 0..head.count.min(OPERATIONS_MAX) {
        if decode_outcome(d).is_err() {
            return;
        }
    }
}

pub(crate) fn fabric(bytes: &[u8]) {
    remote::fuzz::decode(bytes);
    runtime().block_on(fabric::fuzz::decode(bytes));
}

pub(crate) fn fabric_seeds() -> Vec<Vec<u8>> {
    let ctx = Ctx::new(types::Cred::root());
    let request = Request::StatFs(vfs::StatFs { fs: types::FsId(1) });
    // The second of the questions: see the wire module of `remote`.
    let ask = postcard::to_extend(&(ctx, request), vec![1]).unwrap_or_default();
    let mut frame = b"PLXF".to_vec();
    // The version, the kind of a request.
    frame.extend([2, 0, 4, 0]);
    frame.extend(7_u64.to_le_bytes());
    frame.extend((ask.len() as u32).to_le_bytes());
    frame.extend([4, 0, 0, 0, 0, 0, 0, 0]);
    frame.extend(&ask);
    frame.extend(b"data");
    vec![ask, frame]
}

/// One for all inputs.
pub(crate) fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        #[expect(clippy::expect_used, reason = "without it there is nothing to do")]
        Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime")
    })
}
