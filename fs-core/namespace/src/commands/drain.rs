//! Going on with what is too long for one command.

use crate::extents::EXTENTS_PER_COMMAND;
use crate::inodes::{Step, Work};
use crate::keys;
use crate::outcome::{Failure, Reply};
use crate::records::{Body, Inode, Intent};
use types::InodeId;

/// Extended attributes removed in one step.
const XATTRS_PER_STEP: usize = 100;

/// The orphan is no longer open: it goes.
pub(crate) fn drop_orphan(work: &mut Work<'_>, ino: InodeId) -> Step<Reply> {
    let file = work.file(ino);
    if work.map.get(&keys::orphan(file))?.is_none() {
        return Ok(Reply::Drained { more: false });
    }
    work.map.delete(&keys::orphan(file));
    work.put(&keys::intent(file), &Intent::Delete { from: 0 });
    Ok(Reply::Drained { more: step(work, ino)? })
}

/// One step of what is left to be done about `ino`.
pub(crate) fn drain(work: &mut Work<'_>, ino: InodeId) -> Step<Reply> {
    Ok(Reply::Drained { more: step(work, ino)? })
}

/// Does one step; says whether another is needed.
pub(crate) fn step(work: &mut Work<'_>, ino: InodeId) -> Step<bool> {
    let file = work.file(ino);
    let Some(intent) = work.read().record::<Intent>(&keys::intent(file))? else { return Ok(false) };
    let Some(mut inode) = work.read().record::<Inode>(&keys::inode(file))? else {
        work.map.delete(&keys::intent(file));
        return Ok(false);
    };
    if let Body::File(_) = inode.body {
        // Where earlier steps were, a map may still have to pass by all that they removed.
        let runs = work.read().runs_from(ino, intent.from(), EXTENTS_PER_COMMAND + 1)?;
        for run in runs.iter().take(EXTENTS_PER_COMMAND) {
            work.punch_run(ino, &mut inode, run, run.range())?;
        }
        if let Some(next) = runs.get(EXTENTS_PER_COMMAND) {
            work.put(&keys::intent(file), &intent.at(next.offset));
            work.put_inode(ino, &inode);
            return Ok(true);
        }
    }
    match intent {
        Intent::Cut { .. } => {
            inode.as_file_mut()?.cut = None;
            work.put_inode(ino, &inode);
        }
        Intent::Delete { .. } => {
            if inode.xattrs > 0 && remove_xattrs(work, ino, &mut inode)? {
                work.put_inode(ino, &inode);
                return Ok(true);
            }
            work.change_used(ino.slot(), inode.used, 0);
            work.map.delete(&keys::inode(file));
            let mut counters = work.counters(ino.slot())?;
            counters.inodes = counters.inodes.saturating_sub(1);
            work.put_counters(ino.slot(), &counters);
        }
    }
    work.map.delete(&keys::intent(file));
    Ok(false)
}

fn remove_xattrs(work: &mut Work<'_>, ino: InodeId, inode: &mut Inode) -> Step<bool> {
    let file = work.file(ino);
    let mut found = Vec::new();
    for (from, to) in [keys::xattrs(file), keys::systems(file)] {
        if found.len() < XATTRS_PER_STEP {
            work.map.scan(&from, &to, &mut |key, _| {
                found.push(key.to_vec());
                found.len() < XATTRS_PER_STEP
            })?;
        }
    }
    for key in &found {
        work.map.delete(key);
    }
    inode.xattrs = inode.xattrs.saturating_sub(u32::try_from(found.len()).unwrap_or(u32::MAX));
    Ok(found.len() == XATTRS_PER_STEP)
}

/// Content beyond a pending cut cannot be laid before the old is gone.
pub(crate) fn refuse_cut(inode: &Inode, end: u64) -> Step<()> {
    match inode.as_file()?.cut {
        Some(cut) if end > cut => Err(Failure::DrainFirst.into()),
        _ => Ok(()),
    }
}
