//! Writing anew what is damaged or missing.

use super::gather::{Gather, Window};
use super::{DEADLINE, Inner, WRITE_DEADLINE, count};
use crate::{DataError, StripePlace};
use cluster::CellState;
use drive::chunk::block_crcs;
use drive::{DriveError, DriveReply, DriveRequest, Purpose, WriteChunk};
use std::sync::Arc;
use tokio::task::JoinSet;
use types::limits::BLOCK_BYTES;

/// What a repair did.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct RepairReport {
    /// Indexes of chunks that were written anew.
    pub repaired: Vec<u8>,
    /// Indexes of chunks whose cells are lost or whose drives do not answer.
    pub away: Vec<u8>,
    /// Of these, those whose cells are not lost: what their drives have was not looked at.
    pub unread: u8,
    /// Chunks that were found whole.
    pub whole: u8,
}

/// Repairs chunks that a read found bad, in the background, when not too many do already.
pub(super) fn later(inner: &Arc<Inner>, place: &StripePlace, faulty: &[usize]) {
    if place.scheme.parity() == 0 {
        return;
    }
    let Ok(permit) = inner.repairs.clone().try_acquire_owned() else { return };
    let (inner, place, faulty) = (inner.clone(), *place, faulty.to_vec());
    tokio::spawn(async move {
        for &index in &faulty {
            // Many readers may find the same chunk bad: one of them is enough.
            let key = place.key(index);
            if !inner.repairing.lock().insert(key) {
                continue;
            }
            if let Err(error) = rewrite(&inner, &place, index, &faulty).await {
                tracing::warn!(stripe = place.stripe.0, index, %error, "chunk not repaired");
            }
            inner.repairing.lock().remove(&key);
        }
        drop(permit);
    });
}

pub(super) async fn repair(inner: &Arc<Inner>, place: &StripePlace) -> Result<RepairReport, DataError> {
    let view = inner.view();
    let cells = place.cells(&view.map)?;
    let mut report = RepairReport::default();
    let mut bad = Vec::new();
    let mut checks = JoinSet::new();
    for (index, cell) in cells.iter().enumerate() {
        let Some(drive) = view.drive_of(cell).cloned() else {
            report.away.push(index as u8);
            report.unread += u8::from(cell.state != CellState::Lost);
            continue;
        };
        let request = DriveRequest::Verify { key: place.key(index) };
        checks.spawn(async move { (index, drive.call(request, DEADLINE).await) });
    }
    while let Some(ended) = checks.join_next().await {
        let (index, found) = ended.map_err(|error| DataError::Unavailable(error.to_string()))?;
        match found {
            Ok(DriveReply::Whole(info)) if info.shape == place.shape() => report.whole += 1,
            Err(DriveError::Failed(_) | DriveError::Closed | DriveError::Busy) => {
                report.away.push(index as u8);
                report.unread += 1;
            }
            _ => {
                if cells[index].state == CellState::Serving {
                    count(&inner.counters.found);
                }
                bad.push(index);
            }
        }
    }
    bad.sort_unstable();
    report.away.sort_unstable();
    for &index in &bad {
        rewrite(inner, place, index, &bad).await?;
        report.repaired.push(index as u8);
    }
    Ok(report)
}

/// Computes one chunk from those that are not bad and puts it in its place.
async fn rewrite(
    inner: &Arc<Inner>,
    place: &StripePlace,
    index: usize,
    bad: &[usize],
) -> Result<(), DataError> {
    let view = inner.view();
    let cells = place.cells(&view.map)?;
    let window = Window { first: 0, end: (place.chunk_length() as usize / BLOCK_BYTES) as u16 };
    let others = Gather::new(inner, place, cells.clone(), vec![(index, window)]).without(bad).run().await?;
    let (_, data) = others
        .chunks
        .into_iter()
        .next()
        .ok_or_else(|| DataError::Unavailable("nothing was gathered".into()))?;
    let cell = cells[index];
    let away = || DataError::Unavailable(format!("drive {}", cell.drive.0));
    let drive = view.drive_of(&cell).ok_or_else(away)?;
    let key = place.key(index);
    let crcs = block_crcs(key.chunk, 0, &data);
    let write = WriteChunk {
        key,
        shape: place.shape(),
        writer: inner.writer,
        data,
        crcs,
        replace: true,
        purpose: Purpose::Essential,
    };
    match drive.call(DriveRequest::Write(write), WRITE_DEADLINE).await {
        Ok(_) => {
            count(&inner.counters.repaired);
            tracing::info!(stripe = place.stripe.0, index, drive = cell.drive.0, "chunk repaired");
            Ok(())
        }
        Err(DriveError::NoSpace) => Err(DataError::NoSpace),
        Err(DriveError::Fenced { newest }) => Err(DataError::Fenced { newest }),
        Err(error) => Err(DataError::Unavailable(error.to_string())),
    }
}
