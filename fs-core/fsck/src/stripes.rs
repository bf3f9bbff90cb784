//! Extents, the pieces that they refer to, and the stripes that those are in.

use crate::across::missing_piece;
use crate::damage::Kind;
use crate::keys::{self, Key};
use crate::part::Uses;
use crate::records::{self, Buried, Extent, Piece, Source, Stripe, Unfolded, decode};
use crate::walk::Walk;
use map::MapError;
use types::limits::{BLOCK_BYTES, FILE_BYTES_MAX, INLINE_WRITE_BYTES_MAX};
use types::{FileId, InodeId, StripeId};

impl Walk<'_> {
    pub(crate) fn extent(&mut self, raw: &[u8], key: Key<'_>, value: &[u8]) -> Result<(), MapError> {
        let Some((ino, offset)) = key.inode_and_number() else {
            self.unreadable(raw, "its key has another length");
            return Ok(());
        };
        let Some(Extent { length, source }) = self.read(raw, value) else { return Ok(()) };
        if let Source::Inline(bytes) = &source {
            self.holds_bytes(self.part.file(ino), offset, bytes.len() as u64)?;
        }
        self.run(ino, offset, length, &source);
        Ok(())
    }

    /// An extent that holds its bytes itself must be known to be folded.
    fn holds_bytes(&mut self, file: FileId, offset: u64, bytes: u64) -> Result<(), MapError> {
        let counted = &mut self.part.counted;
        counted.unfolded += 1;
        counted.unfolded_bytes = counted.unfolded_bytes.saturating_add(bytes);
        let known = self.view.get(&keys::unfolded(file, offset))?;
        let known = known.is_some_and(|value| {
            decode::<Unfolded>(&value).is_ok_and(|unfolded| u64::from(unfolded.bytes) == bytes)
        });
        self.findings.must(known, Kind::Unfolded, file, || {
            format!(
                "the extent of inode {file} at {offset} holds its {bytes} bytes and is not known to be folded"
            )
        });
        Ok(())
    }

    pub(crate) fn unfolded(&mut self, raw: &[u8], key: Key<'_>, value: &[u8]) -> Result<(), MapError> {
        let Some((ino, offset)) = key.inode_and_number() else {
            self.unreadable(raw, "its key has another length");
            return Ok(());
        };
        if self.read::<Unfolded>(raw, value).is_none() {
            return Ok(());
        }
        let file = self.part.file(ino);
        let extent = self.view.get(&keys::extent(file, offset))?.map(|value| decode::<Extent>(&value));
        // One that cannot be read is named already.
        let holds = extent.is_some_and(|extent| match extent {
            Ok(extent) => matches!(extent.source, Source::Inline(_)),
            Err(_) => true,
        });
        self.findings.must(holds, Kind::Unfolded, file, || {
            format!("the extent of inode {file} at {offset} is to be folded and holds no bytes")
        });
        Ok(())
    }

    fn run(&mut self, ino: InodeId, offset: u64, length: u64, source: &Source) {
        let file = self.part.file(ino);
        let end = offset.checked_add(length).filter(|end| *end <= FILE_BYTES_MAX && length > 0);
        let Some(end) = end else {
            return self.findings.add(Kind::Extent, Some(file), || {
                format!("the extent of inode {file} at {offset} has the impossible length {length}")
            });
        };
        let (last, last_end) = std::mem::replace(&mut self.part.extents_end, (ino.0, end));
        self.findings.must(last != ino.0 || last_end <= offset, Kind::Extent, file, || {
            format!(
                "the extent of inode {file} at {offset} overlaps the one before, which ends at {last_end}"
            )
        });
        let Some(seen) = self.part.inode(ino) else {
            return self.findings.add(Kind::Extent, None, || {
                format!("there is an extent at {offset} of inode {file}, which is not there")
            });
        };
        seen.extents = seen.extents.saturating_add(length);
        if let Some(says) = seen.says {
            let is_file = says.kind == records::Kind::File;
            self.findings.must(is_file, Kind::Extent, file, || {
                format!("inode {file} has an extent at {offset} and is no file")
            });
            // Beyond a cut is what waits to be removed; beyond the size nothing is but reserved space.
            let cut = says.cut.is_some_and(|cut| offset >= cut);
            let inside = end <= says.size && says.cut.is_none_or(|cut| end <= cut);
            let fits = !is_file || cut || inside || matches!(source, Source::Unwritten);
            self.findings.must(fits, Kind::Extent, file, || {
                format!(
                    "the extent of inode {file} at {offset} ends at {end}, beyond the file's {}",
                    says.size
                )
            });
        }
        self.source(file, (offset, length), source);
    }

    fn source(&mut self, file: FileId, (offset, length): (u64, u64), source: &Source) {
        match source {
            Source::Unwritten => {}
            Source::Inline(bytes) => {
                let fits = bytes.len() as u64 == length && bytes.len() <= INLINE_WRITE_BYTES_MAX;
                self.findings.must(fits, Kind::Extent, file, || {
                    format!(
                        "the extent of inode {file} at {offset} is {length} long and holds {} bytes",
                        bytes.len()
                    )
                });
            }
            &Source::Piece { stripe, piece, within, codec, key, raw_length } => {
                let plain = codec == 0 && key == 0 && raw_length == 0;
                self.findings.must(plain, Kind::Extent, file, || {
                    format!("the extent of inode {file} at {offset} has a codec or key that is not known")
                });
                let end = u64::from(within).saturating_add(length);
                let uses = Uses { count: 1, end, ino: file.ino, offset };
                let stripe = StripeId(stripe);
                if InodeId(stripe.0).slot() == self.part.slot {
                    let known = self.part.uses.entry((stripe, piece));
                    known.and_modify(|known| known.add(uses)).or_insert(uses);
                } else {
                    self.across.uses(file.fs, stripe, piece, uses);
                }
            }
        }
    }

    pub(crate) fn piece(&mut self, raw: &[u8], key: Key<'_>, value: &[u8]) {
        let Some((stripe, at)) = key.piece() else {
            return self.unreadable(raw, "its key has another length");
        };
        let fs = key.fs;
        let uses = self.part.uses.remove(&(stripe, at));
        let Some(Piece { length, references }) = self.read(raw, value) else { return };
        let id = InodeId(stripe.0);
        if length == 0 || references == 0 {
            self.findings.add(Kind::References, None, || {
                format!("the piece at {at} of stripe {id} has {length} bytes and {references} references")
            });
        }
        if let Some(uses) = &uses {
            missing_piece(&mut self.findings, fs, (stripe, at), uses, Some(length));
        }
        self.across.piece(fs, stripe, at, references, uses.map_or(0, |uses| uses.count));
        let sums = self.part.sums.entry(stripe).or_default();
        sums.pieces = sums.pieces.saturating_add(1);
        sums.live = sums.live.saturating_add(u64::from(length));
        sums.overlap |= u64::from(at) < sums.end;
        sums.end = sums.end.max(u64::from(at) + u64::from(length));
    }

    /// A stripe's number was granted and is nobody else's.
    pub(crate) fn number(&mut self, kind: Kind, stripe: StripeId) {
        let (id, fs, granted) = (InodeId(stripe.0), self.part.fs, self.granted);
        if id.sequence() > granted {
            self.findings.add(Kind::Counter, None, || {
                format!(
                    "stripe {id} of filesystem {} is there, and only those up to {granted} were granted",
                    fs.0
                )
            });
        }
        if !self.stripes.insert(stripe) {
            self.findings.add(kind, None, || {
                format!("stripe {id} is twice there, live, as garbage, as never to be committed, or in two filesystems")
            });
        }
    }

    pub(crate) fn stripe(&mut self, raw: &[u8], key: Key<'_>, value: &[u8]) {
        let Some(stripe) = key.stripe() else { return self.unreadable(raw, "its key has another length") };
        let sums = self.part.sums.remove(&stripe).unwrap_or_default();
        self.number(Kind::Stripe, stripe);
        let Some(record) = self.read::<Stripe>(raw, value) else {
            // Its chunks may be the only copy of something.
            return self.chunks.garbage(stripe);
        };
        let (id, fs) = (InodeId(stripe.0), key.fs);
        self.part.counted.add_live(&record);
        let mut wrong = |what: String| {
            self.findings.add(Kind::Stripe, None, || format!("stripe {id} of filesystem {} {what}", fs.0));
        };
        if record.pieces != sums.pieces || u64::from(record.live) != sums.live {
            wrong(format!(
                "has {} pieces with {} bytes, and says {} with {}",
                sums.pieces, sums.live, record.pieces, record.live
            ));
        } else if sums.pieces == 0 {
            wrong("has no piece and is no garbage".into());
        }
        if sums.overlap {
            wrong("has pieces that overlap".into());
        }
        if sums.end > u64::from(record.length) {
            wrong(format!("is {} bytes long and has a piece that ends at {}", record.length, sums.end));
        }
        let placed = self.chunks.live(&mut self.findings, &mut self.doubts, (fs, stripe), &record);
        if let Err(why) = placed {
            self.findings.add(Kind::Stripe, None, || format!("stripe {id} of filesystem {} {why}", fs.0));
            self.chunks.garbage(stripe);
        }
    }

    pub(crate) fn garbage(&mut self, raw: &[u8], key: Key<'_>, value: &[u8]) {
        let Some(stripe) = key.stripe() else { return self.unreadable(raw, "its key has another length") };
        let sums = self.part.sums.remove(&stripe).unwrap_or_default();
        self.number(Kind::Garbage, stripe);
        self.chunks.garbage(stripe);
        let Some(record) = self.read::<Stripe>(raw, value) else { return };
        let counted = &mut self.part.counted;
        counted.garbage += 1;
        counted.garbage_stored = counted.garbage_stored.saturating_add(stored(&record));
        if sums.pieces > 0 || record.pieces > 0 || record.live > 0 {
            self.findings.add(Kind::Garbage, None, || {
                let (id, fs) = (InodeId(stripe.0), key.fs.0);
                let (pieces, says) = (sums.pieces, record.pieces);
                format!("stripe {id} of filesystem {fs} is garbage with {pieces} pieces, and says {says}")
            });
        }
    }

    /// Comes before all filesystems: one of them that knows the stripe is found when it comes.
    pub(crate) fn buried(&mut self, raw: &[u8], key: Key<'_>, value: &[u8]) {
        let Some(stripe) = key.stripe() else { return self.unreadable(raw, "its key has another length") };
        self.number(Kind::Stripe, stripe);
        let _ = self.read::<Buried>(raw, value);
    }

    /// Pieces and references that nobody has claimed.
    pub(crate) fn finish_stripes(&mut self) {
        let fs = self.part.fs;
        let mut uses: Vec<_> = std::mem::take(&mut self.part.uses).into_iter().collect();
        uses.sort_by_key(|(place, _)| *place);
        for (place, uses) in uses {
            missing_piece(&mut self.findings, fs, place, &uses, None);
        }
        for (stripe, sums) in std::mem::take(&mut self.part.sums) {
            self.findings.add(Kind::Stripe, None, || {
                let id = InodeId(stripe.0);
                format!("stripe {id} of filesystem {} is not there, and has {} pieces", fs.0, sums.pieces)
            });
        }
    }
}

impl records::Account {
    /// A stripe that files need.
    pub(crate) fn add_live(&mut self, record: &Stripe) {
        self.stripes += 1;
        self.data += u64::from(record.length);
        self.live += u64::from(record.live);
        self.stored = self.stored.saturating_add(stored(record));
    }
}

/// What the chunks of a stripe take on drives: a header block each, and its data divided and filled up to blocks.
fn stored(record: &Stripe) -> u64 {
    let (data, parity) = (u64::from(record.data_chunks), u64::from(record.parity_chunks));
    let block = BLOCK_BYTES as u64;
    // A stripe without data chunks is named as impossible.
    (u64::from(record.length).div_ceil(data.max(1) * block) + 1) * block * (data + parity)
}
