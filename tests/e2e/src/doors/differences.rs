//! Whether two answers say the same, and where they may not.

use super::step::{Answer, Step};
use crate::power::Door;
use nix::libc::{EEXIST, EISDIR, ENOTDIR, ENOTEMPTY, EPERM};

/// Whether a door's answer is that of the reference, or may be in its place.
pub(crate) fn agree(door: Door, step: &Step, answer: &Answer, reference: &Answer) -> bool {
    answer == reference || may_differ(door, step, answer, reference)
}

fn may_differ(door: Door, step: &Step, answer: &Answer, reference: &Answer) -> bool {
    match (door, step, answer, reference) {
        // Of several locks in the way, any may be named (fcntl(2)).
        (_, Step::TestLock { .. }, Answer::InTheWay(Some(_)), Answer::InTheWay(Some(_))) => true,
        // A directory and something else, or a directory that is not empty: NFS4ERR_EXIST (RFC 8881 section 18.26.3).
        (
            Door::Nfs,
            Step::Rename { .. },
            Answer::Failed(EEXIST, _),
            Answer::Failed(EISDIR | ENOTDIR | ENOTEMPTY, _),
        ) => true,
        // The client leaves it to the server whether the name is free, and looks at the rest before.
        (Door::Nfs, Step::Link { .. }, Answer::Failed(EPERM, _), Answer::Failed(EEXIST, _)) => true,
        _ => false,
    }
}

/// What sort of difference it is, so that two can be told apart.
pub(crate) fn kind_of(answer: &Answer, reference: &Answer) -> String {
    let sort = |answer: &Answer| match answer {
        Answer::Failed(errno, _) => format!("error {errno}"),
        Answer::Bytes(length, _) => format!("{length} bytes"),
        other => format!("{:?}", std::mem::discriminant(other)),
    };
    match (answer, reference) {
        (Answer::Bytes(one, _), Answer::Bytes(other, _)) if one != other => "lengths".to_owned(),
        (Answer::Bytes(..), Answer::Bytes(..)) => "bytes".to_owned(),
        (Answer::Stat(one), Answer::Stat(other)) => {
            let same = [
                one.kind == other.kind,
                one.mode == other.mode,
                one.uid == other.uid && one.gid == other.gid,
                one.size == other.size,
                one.links == other.links,
                one.modified == other.modified,
            ];
            format!("{same:?}")
        }
        _ => format!("{} and {}", sort(answer), sort(reference)),
    }
}
