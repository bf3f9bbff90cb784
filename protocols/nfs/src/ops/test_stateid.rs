//! TEST_STATEID (RFC 8881 section 18.48).

use crate::compound::Compound;
use nfs_wire::{Stateid, Status, TestStateidArgs, TestStateidOk};
use vfs::Vfs;
use xdr::List;

pub(super) fn test_stateid<V: Vfs>(
    c: &mut Compound<'_, V>,
    args: TestStateidArgs,
) -> Result<TestStateidOk, Status> {
    let state = c.client()?.state();
    let test = |stateid: &Stateid| state.table.find(stateid).err().unwrap_or(Status::Ok);
    Ok(TestStateidOk { statuses: List(args.stateids.iter().map(test).collect()) })
}
