//! Finding data and holes.

use super::may_use::must_be_file;
use crate::propose::answer;
use crate::{Frontend, Shards, Stripes};
use namespace::queries::content::{Place, locate};
use namespace::queries::inode;
use types::{ByteRange, FsError};
use vfs::{Ctx, Seek, SeekReply, SeekWhat};

/// Runs looked at in one step.
const RUNS_MAX: usize = 256;

pub(crate) async fn seek<S: Shards, D: Stripes>(
    fe: &Frontend<S, D>,
    _: &Ctx,
    request: Seek,
) -> Result<SeekReply, FsError> {
    if let Some(node) = fe.0.nodes.find(request.file) {
        fe.flush(&node).await?;
    }
    let view = fe.view()?;
    let found = answer(inode::inode(&view, request.file))?;
    must_be_file(found.kind)?;
    if request.offset >= found.size {
        return Err(FsError::NothingThere);
    }
    let mut at = request.offset;
    loop {
        let (runs, told) =
            answer(locate(&view, request.file, &found, ByteRange { offset: at, end: found.size }, RUNS_MAX))?;
        for run in runs.iter().filter(|run| run.place != Place::Unwritten) {
            match request.what {
                SeekWhat::Data => return Ok(SeekReply { offset: run.range.offset.max(at) }),
                SeekWhat::Hole if run.range.offset > at => return Ok(SeekReply { offset: at }),
                SeekWhat::Hole => at = run.range.end,
            }
        }
        if told >= found.size {
            break;
        }
        match request.what {
            SeekWhat::Hole if at < told => return Ok(SeekReply { offset: at }),
            _ => at = told,
        }
    }
    match request.what {
        SeekWhat::Data => Err(FsError::NothingThere),
        SeekWhat::Hole => Ok(SeekReply { offset: at.min(found.size) }),
    }
}
