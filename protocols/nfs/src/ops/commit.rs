//! COMMIT (RFC 8881 section 18.3).

use crate::compound::{Compound, OrStatus};
use nfs_wire::{CommitArgs, Status, VerifierOk};
use types::ByteRange;
use vfs::{Commit, Vfs};

pub(super) async fn commit<V: Vfs>(c: &mut Compound<'_, V>, args: CommitArgs) -> Result<VerifierOk, Status> {
    let file = c.file_or(Status::IsDir)?;
    if args.offset.checked_add(u64::from(args.count)).is_none() {
        return Err(Status::Inval);
    }
    let range = match args.count {
        0 => ByteRange { offset: args.offset, end: u64::MAX },
        count => ByteRange::new(args.offset, u64::from(count)),
    };
    let request = Commit { file: file.file, range };
    let reply = c.vfs().commit(&c.ctx(&file)?, request).await.or_status()?;
    Ok(VerifierOk { verifier: reply.verifier.0 })
}
