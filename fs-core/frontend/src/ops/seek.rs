//! Finding data and holes.

use super::may_use::must_be_file;
use crate::{Frontend, Shards, Stripes};
use namespace::queries::content::{Place, locate};
use namespace::queries::inode;
use types::{ByteRange, FileKind, FsError};
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
    let mut at = request.offset;
    let size = loop {
        let look = || {
            fe.look(|map| {
                let found = inode::inode(map, request.file)?;
                let range = ByteRange { offset: at, end: found.size.max(at) };
                let located = match found.kind {
                    FileKind::File => locate(map, request.file, &found, range, RUNS_MAX)?,
                    _ => Default::default(),
                };
                Ok((found.kind, found.size, located))
            })
        };
        let (kind, size, (runs, told)) = fe.unlocked(look).await?;
        must_be_file(kind)?;
        if request.offset >= size {
            return Err(FsError::NothingThere);
        }
        for run in runs.iter().filter(|run| run.place != Place::Unwritten) {
            match request.what {
                SeekWhat::Data => return Ok(SeekReply { offset: run.range.offset.max(at) }),
                SeekWhat::Hole if run.range.offset > at => return Ok(SeekReply { offset: at }),
                SeekWhat::Hole => at = run.range.end,
            }
        }
        if told >= size {
            break size;
        }
        match request.what {
            SeekWhat::Hole if at < told => return Ok(SeekReply { offset: at }),
            _ => at = told,
        }
    };
    match request.what {
        SeekWhat::Data => Err(FsError::NothingThere),
        SeekWhat::Hole => Ok(SeekReply { offset: at.min(size) }),
    }
}
