//! Reading data.

use super::may_use::may_use;
use crate::dirty::position;
use crate::flush::data_error;
use crate::look::Stop;
use crate::nodes::State;
use crate::{Frontend, Shards, Stripes};
use crate::{PlacedStripe, StripeError};
use bytes::{Bytes, BytesMut};
use map::OrderedMap;
use namespace::queries::content::{Located, Place, locate};
use namespace::queries::inode;
use types::limits::IO_BYTES_MAX;
use types::{ByteRange, FileId, FsError};
use vfs::{Ctx, OpenAccess, Read, ReadReply};

/// Runs of one part of a read.
const RUNS_MAX: usize = 1024;
/// Times that a part is looked up anew because its stripe went away.
const TRIES: usize = 4;

pub(crate) async fn read<S: Shards, D: Stripes>(
    fe: &Frontend<S, D>,
    ctx: &Ctx,
    request: Read,
) -> Result<ReadReply, FsError> {
    let file = request.file;
    may_use(fe, ctx, file, request.open, OpenAccess { read: true, write: false }).await?;
    let range = ByteRange::new(request.offset, u64::from(request.length).min(IO_BYTES_MAX as u64));
    let (mut parts, mut at, mut size) = (Vec::new(), range.offset, 0);
    // An empty range still tells whether it is at the end.
    loop {
        let part = read_part(fe, file, ByteRange { offset: at, end: range.end }).await?;
        size = size.max(part.size);
        at += part.data.len() as u64;
        let done = part.data.is_empty() || at >= range.end.min(part.size);
        parts.push(part.data);
        if done {
            break;
        }
    }
    parts.retain(|part| !part.is_empty());
    Ok(ReadReply { data: crate::dirty::join(parts), end: at >= size })
}

struct Part {
    data: Bytes,
    size: u64,
}

/// Where a part of the file is, as one moment has it.
struct Looked {
    size: u64,
    range: ByteRange,
    located: Vec<Located>,
    over: Vec<(u64, Bytes)>,
}

async fn look<S: Shards, D: Stripes>(
    fe: &Frontend<S, D>,
    file: FileId,
    range: ByteRange,
) -> Result<Looked, Stop> {
    let look = |map: &dyn OrderedMap, waiting: u64| {
        let inode = inode::inode(map, file)?;
        let size = inode.size.max(waiting);
        let range = ByteRange { offset: range.offset, end: range.end.min(size).max(range.offset) };
        let (located, told) = locate(map, file, &inode, range, RUNS_MAX)?;
        let range = ByteRange { end: range.end.min(told), ..range };
        Ok(Looked { size, range, located, over: Vec::new() })
    };
    let Some(node) = fe.0.nodes.find(file) else { return fe.look(|map| look(map, 0)).await };
    let lay_over = |mut looked: Looked, state: &mut State| {
        looked.over.extend(state.in_flight.iter().flat_map(|dirty| dirty.within(looked.range)));
        looked.over.extend(state.dirty.within(looked.range));
        Ok(looked)
    };
    fe.look_with(&node, State::turn, |map, state| look(map, state.end()), lay_over).await
}

async fn read_part<S: Shards, D: Stripes>(
    fe: &Frontend<S, D>,
    file: FileId,
    range: ByteRange,
) -> Result<Part, FsError> {
    let mut failed: Option<(StripeError, Vec<Located>)> = None;
    for _ in 0..TRIES {
        let looked = fe.unlocked(|| look(fe, file, range)).await?;
        let Looked { size, range, located, over } = looked;
        if range.is_empty() {
            return Ok(Part { data: Bytes::new(), size });
        }
        // A stripe that was freed since the look may look like one whose drives are away.
        if let Some((error, before)) = failed.take()
            && !matches!(error, StripeError::Gone(_))
            && before == located
        {
            return Err(data_error(error));
        }
        match assemble(fe, range, &located, over).await {
            Ok(data) => return Ok(Part { data, size }),
            Err(error) => failed = Some((error, located)),
        }
    }
    Err(failed.map_or(FsError::Io, |(error, _)| data_error(error)))
}

async fn assemble<S: Shards, D: Stripes>(
    fe: &Frontend<S, D>,
    range: ByteRange,
    located: &[Located],
    over: Vec<(u64, Bytes)>,
) -> Result<Bytes, StripeError> {
    let whole = |run: &Located| run.range == range && over.is_empty();
    if let [run] = located
        && whole(run)
        && let Some(data) = fetch(fe, run).await?
    {
        return Ok(data);
    }
    let mut buffer = BytesMut::zeroed(position(range.len()));
    let mut lay = |offset: u64, data: &[u8]| {
        let at = position(offset - range.offset);
        buffer[at..at + data.len()].copy_from_slice(data);
    };
    for run in located {
        if let Some(data) = fetch(fe, run).await? {
            lay(run.range.offset, &data);
        }
    }
    for (offset, data) in over {
        lay(offset, &data);
    }
    Ok(buffer.freeze())
}

/// The bytes of a run; `None` for zeros.
async fn fetch<S: Shards, D: Stripes>(
    fe: &Frontend<S, D>,
    run: &Located,
) -> Result<Option<Bytes>, StripeError> {
    match &run.place {
        Place::Unwritten => Ok(None),
        Place::Inline(data) => Ok(Some(data.clone())),
        Place::Stripe { stripe, record, at } => {
            let length = u32::try_from(run.range.len())
                .map_err(|_| StripeError::Failed("an extent is longer than its stripe".into()))?;
            let end = at.checked_add(length).filter(|end| *end <= record.length);
            let end = end.ok_or_else(|| StripeError::Failed("an extent reaches beyond its stripe".into()))?;
            if let Some(data) = fe.0.read_cache.get(*stripe, *at..end) {
                return Ok(Some(data));
            }
            let data = fe.0.stripes.read(PlacedStripe::of(*stripe, record), *at..end).await?;
            fe.0.read_cache.put(*stripe, record.length, *at, &data);
            Ok(Some(data))
        }
    }
}
