//! Completing an upload: its parts become one object without being moved.

use crate::body::copy;
use crate::bucket::Bucket;
use crate::error::from_fs;
use crate::events::{Kind, Told};
use crate::files::{FILE_MODE, Files, Held};
use crate::head::Head;
use crate::key::ObjectPath;
use crate::object::etag_of;
use crate::ops::{Request, parts, reply};
use crate::place::{Conditions, New};
use crate::records::{DoneRecord, ObjectRecord, PartOf};
use crate::sums::{Claimed, Sum, decode, dto, encode, hex, md5_of_md5s, of_sums, summed};
use crate::uploads::{Part, Upload};
use bytes::Bytes;
use s3s::dto::*;
use s3s::{S3Response, S3Result, s3_error};
use types::limits::BLOCK_BYTES;
use types::{Cred, Name};
use vfs::{PutSource, Vfs};

/// Every part but the last has at least so many bytes (AWS).
const PART_BYTES_MIN: u64 = 5 << 20;
/// Bytes of what is kept of parts in an object's record; beyond, parts cannot be asked for.
const OF_PARTS_BYTES_MAX: usize = 40 * 1024;

/// See the S3 reference.
pub(crate) async fn complete<V: Vfs>(
    head: &Head<V>,
    request: Request<CompleteMultipartUploadInput>,
) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
    let (parts, mut input) = parts!(request);
    let at = (input.bucket.as_str(), input.key.as_str());
    let (_, bucket, _) = head.may_put(&parts, at, None).await?;
    let upload = head.upload_or_done(&bucket, &input.key, &input.upload_id).await?;
    if let Some(done) = upload.record.done {
        return reply(output(&input.bucket, &input.key, done));
    }
    let asked = input.multipart_upload.take().and_then(|upload| upload.parts).unwrap_or_default();
    if asked.is_empty() {
        return Err(s3_error!(MalformedXML, "The request names no parts."));
    }
    let chosen = choose(head, &upload, &asked).await?;
    let size: u64 = chosen.iter().map(|part| part.record.size).sum();
    if input.mpu_object_size.is_some_and(|asked| u64::try_from(asked) != Ok(size)) {
        return Err(s3_error!(
            InvalidRequest,
            "The provided 'x-amz-mp-object-size' header does not match what was computed"
        ));
    }
    let claimed = Claimed::new(
        input.checksum_crc32.take(),
        input.checksum_crc32c.take(),
        input.checksum_crc64nvme.take(),
        input.checksum_sha1.take(),
        input.checksum_sha256.take(),
    );
    let sums = sum_of(&upload, &chosen)?;
    for (algorithm, value) in &claimed.0 {
        let own = sums.iter().find(|sum| sum.algorithm == *algorithm);
        let given = value.split('-').next().unwrap_or_default();
        if own.is_some_and(|own| own.value != given) {
            return Err(s3_error!(
                BadDigest,
                "The checksum you specified did not match the calculated checksum."
            ));
        }
    }
    let conditions =
        Conditions { if_match: input.if_match.take(), if_none_match: input.if_none_match.take() };
    let files = head.acting(&bucket)?;
    if conditions.if_match.is_some() || conditions.if_none_match.is_some() {
        conditions.check(files.object(bucket.dir, &input.key).await?.as_ref())?;
    }

    let whole = join(head, &files, &bucket, &chosen).await?;
    let record = ObjectRecord {
        md5: md5_of_md5s(chosen.iter().map(|part| part.record.md5)),
        parts: u32::try_from(chosen.len()).unwrap_or(u32::MAX),
        of_parts: of_parts(&chosen),
        sums: sums.clone(),
        ..upload.record.object.clone()
    };
    let values = upload
        .record
        .values
        .iter()
        .filter_map(|(name, value)| Some((Name::new(name.clone()).ok()?, Bytes::copy_from_slice(value))));
    let new = New { record: record.clone(), values: values.collect() };
    let path = ObjectPath::of(&input.key)?;
    let done = head.put_at(&files, &bucket, &path, PutSource::Staged(whole.file), new, &conditions).await?;
    let etag = etag_of(&done.attr, Some(&record));
    let (key, version, at) = (input.key.as_str(), done.version.as_deref(), done.attr.ctime);
    head.tell(&bucket, &parts, Told { kind: Kind::Complete, key, size, etag: &etag, version, at }).await;
    let done = DoneRecord { etag, version: done.version, sums, at: head.now().seconds };
    head.finish_upload(&upload, done.clone()).await?;
    reply(output(&input.bucket, &input.key, done))
}

fn output(bucket: &str, key: &str, done: DoneRecord) -> CompleteMultipartUploadOutput {
    summed!(
        dto(&done.sums),
        CompleteMultipartUploadOutput {
            bucket: Some(bucket.to_owned()),
            key: Some(key.to_owned()),
            location: Some(format!("/{}/{}", bucket, crate::text::escape(key))),
            e_tag: Some(ETag::Strong(done.etag)),
            version_id: done.version,
        }
    )
}

/// The parts that the request names, in its order, which has to be theirs.
async fn choose<V: Vfs>(head: &Head<V>, upload: &Upload, asked: &[CompletedPart]) -> S3Result<Vec<Part>> {
    let invalid = || {
        s3_error!(
            InvalidPart,
            "One or more of the specified parts could not be found. The part may not have been uploaded, or the specified entity tag may not match the part's entity tag."
        )
    };
    let mut there = head.parts(upload, 0, crate::uploads::PARTS_MAX as usize).await?.into_iter().peekable();
    let mut chosen: Vec<Part> = Vec::with_capacity(asked.len());
    for (at, part) in asked.iter().enumerate() {
        let number = part.part_number.ok_or_else(|| s3_error!(MalformedXML))?;
        if chosen.last().is_some_and(|last| last.number > number) {
            return Err(s3_error!(
                InvalidPartOrder,
                "The list of parts was not in ascending order. The parts list must be specified in order by part number."
            ));
        }
        // Of several of one number the last counts.
        if asked.get(at + 1).is_some_and(|next| next.part_number == Some(number)) {
            continue;
        }
        while there.next_if(|own| own.number < number).is_some() {}
        let own = there.next_if(|own| own.number == number).ok_or_else(invalid)?;
        if part.e_tag.as_ref().is_some_and(|etag| etag.value() != hex(&own.record.md5)) {
            return Err(invalid());
        }
        let claimed = Claimed::new(
            part.checksum_crc32.clone(),
            part.checksum_crc32c.clone(),
            part.checksum_crc64nvme.clone(),
            part.checksum_sha1.clone(),
            part.checksum_sha256.clone(),
        );
        for (algorithm, value) in &claimed.0 {
            let sum = own.record.sums.iter().find(|sum| sum.algorithm == *algorithm);
            if sum.is_some_and(|sum| sum.value != *value) {
                return Err(invalid());
            }
        }
        chosen.push(own);
    }
    let small = chosen.iter().rev().skip(1).any(|part| part.record.size < PART_BYTES_MIN);
    if small {
        return Err(s3_error!(
            EntityTooSmall,
            "Your proposed upload is smaller than the minimum allowed size"
        ));
    }
    Ok(chosen)
}

/// The checksum of the object by those of its parts.
fn sum_of(upload: &Upload, chosen: &[Part]) -> S3Result<Vec<Sum>> {
    let Some(algorithm) = upload.record.algorithm else { return Ok(Vec::new()) };
    let of_part = |part: &Part| {
        let sum = part.record.sums.iter().find(|sum| sum.algorithm == algorithm);
        sum.and_then(|sum| decode(&sum.value))
    };
    let sums: Option<Vec<Vec<u8>>> = chosen.iter().map(of_part).collect();
    let sums =
        sums.ok_or_else(|| s3_error!(InvalidPart, "A part has no checksum of the upload's algorithm."))?;
    if !upload.record.full_object {
        return Ok(vec![of_sums(algorithm, &sums)]);
    }
    let number = |bytes: &[u8]| bytes.iter().fold(0u64, |number, byte| number << 8 | u64::from(*byte));
    let mut joined = match sums.first() {
        Some(first) => number(first),
        None => return Ok(Vec::new()),
    };
    let kind = match algorithm {
        crate::sums::Algorithm::Crc32 => crc_fast::CrcAlgorithm::Crc32IsoHdlc,
        crate::sums::Algorithm::Crc32c => crc_fast::CrcAlgorithm::Crc32Iscsi,
        _ => crc_fast::CrcAlgorithm::Crc64Nvme,
    };
    for (sum, part) in sums.iter().zip(chosen).skip(1) {
        joined = crc_fast::checksum_combine(kind, joined, number(sum), part.record.size);
    }
    let length = sums.first().map_or(0, Vec::len);
    let bytes = joined.to_be_bytes();
    Ok(vec![Sum { algorithm, value: encode(&bytes[bytes.len() - length..]), parts: 0 }])
}

/// A file without a name with all parts in it, by reference wherever they are whole blocks.
async fn join<V: Vfs>(
    head: &Head<V>,
    files: &Files<V>,
    bucket: &Bucket,
    chosen: &[Part],
) -> S3Result<Held<V>> {
    let root = head.files(Cred::root());
    let whole = files.stage(bucket.dir, FILE_MODE).await.map_err(from_fs)?;
    let mut offset: u64 = 0;
    for part in chosen {
        let held = root.open(part.attr.file).await.map_err(|error| match error {
            types::FsError::Stale => s3_error!(InvalidPart, "A part was replaced meanwhile."),
            error => from_fs(error),
        })?;
        let size = part.record.size;
        if offset.is_multiple_of(BLOCK_BYTES as u64) && size > 0 {
            root.clone_range((&held, 0), (&whole, offset), 0).await.map_err(from_fs)?;
        } else {
            copy(&root, (&held, 0), (&whole, offset), size).await?;
        }
        offset += size;
    }
    files.commit(whole.file).await.map_err(from_fs)?;
    Ok(whole)
}

/// What is kept of the parts, if it is not too much.
fn of_parts(chosen: &[Part]) -> Vec<PartOf> {
    let part = |part: &Part| PartOf {
        number: u16::try_from(part.number).unwrap_or(0),
        size: part.record.size,
        sum: part.record.sums.first().map(|sum| sum.value.clone()),
    };
    let bytes: usize =
        chosen.iter().map(|own| 14 + own.record.sums.first().map_or(0, |sum| sum.value.len())).sum();
    if bytes > OF_PARTS_BYTES_MAX { Vec::new() } else { chosen.iter().map(part).collect() }
}

/// Makes sure that the checksums of parts and those of objects are the same functions.
#[cfg(test)]
mod tests {
    use s3s::crypto::{Checksum as _, Crc32, Crc32c, Crc64Nvme};

    #[test]
    fn checksums_of_parts_join_to_that_of_the_whole() {
        let (one, two) = (vec![1u8; 70_000], vec![2u8; 5]);
        let all = [&one[..], &two].concat();
        let join = |kind, one: &[u8], two: &[u8]| {
            let number =
                |bytes: &[u8]| bytes.iter().fold(0u64, |number, byte| number << 8 | u64::from(*byte));
            crc_fast::checksum_combine(kind, number(one), number(two), 5)
        };
        let crc32 =
            join(crc_fast::CrcAlgorithm::Crc32IsoHdlc, &Crc32::checksum(&one), &Crc32::checksum(&two));
        assert_eq!(crc32 as u32, u32::from_be_bytes(Crc32::checksum(&all)));
        let crc32c =
            join(crc_fast::CrcAlgorithm::Crc32Iscsi, &Crc32c::checksum(&one), &Crc32c::checksum(&two));
        assert_eq!(crc32c as u32, u32::from_be_bytes(Crc32c::checksum(&all)));
        let crc64 =
            join(crc_fast::CrcAlgorithm::Crc64Nvme, &Crc64Nvme::checksum(&one), &Crc64Nvme::checksum(&two));
        assert_eq!(crc64, u64::from_be_bytes(Crc64Nvme::checksum(&all)));
    }
}
