//! Reading bytes of a stripe: which blocks of which chunks, and putting them together.

use super::gather::{Gather, Window};
use super::{Inner, count};
use crate::{DataError, StripePlace};
use bytes::{Bytes, BytesMut};
use std::ops::Range;
use std::sync::Arc;
use types::limits::BLOCK_BYTES;

pub(super) async fn read(
    inner: &Arc<Inner>,
    place: &StripePlace,
    range: Range<u32>,
) -> Result<Bytes, DataError> {
    if range.start > range.end || range.end > place.length {
        return Err(DataError::Invalid(format!("bytes {range:?} of {}", place.length)));
    }
    let cells = place.cells(&inner.view().map)?;
    if range.is_empty() {
        return Ok(Bytes::new());
    }
    let length = place.chunk_length();
    let mut wanted = Vec::new();
    for index in range.start / length..=(range.end - 1) / length {
        let begin = range.start.max(index * length) - index * length;
        let end = range.end.min((index + 1) * length) - index * length;
        wanted.push(Part { index: index as usize, begin, end });
    }
    let windows = wanted.iter().map(|part| (part.index, part.window())).collect();
    let gathered = Gather::new(inner, place, cells, windows).run().await?;
    if gathered.reconstructed {
        count(&inner.counters.reconstructed);
    }
    if !gathered.faulty.is_empty() {
        super::repair::later(inner, place, &gathered.faulty);
    }
    let mut parts = wanted.iter().zip(gathered.chunks).map(|(part, (window, bytes))| {
        let origin = u32::from(window.first) * BLOCK_BYTES as u32;
        bytes.slice((part.begin - origin) as usize..(part.end - origin) as usize)
    });
    if wanted.len() == 1 {
        return Ok(parts.next().unwrap_or_default());
    }
    let mut out = BytesMut::with_capacity(range.len());
    parts.for_each(|part| out.extend_from_slice(&part));
    Ok(out.freeze())
}

/// Bytes of one chunk.
struct Part {
    index: usize,
    begin: u32,
    end: u32,
}

impl Part {
    fn window(&self) -> Window {
        let block = BLOCK_BYTES as u32;
        Window { first: (self.begin / block) as u16, end: self.end.div_ceil(block) as u16 }
    }
}
