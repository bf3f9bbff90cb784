//! Checksums of objects: those that S3 knows, computed on the way.

use crate::md5::Md5;
use s3s::checksum::ChecksumHasher;
use s3s::crypto::{Checksum as _, Crc32, Crc32c, Crc64Nvme, Sha1, Sha256};
use s3s::dto::{Checksum, ChecksumAlgorithm, ChecksumType};
use s3s::{S3Result, s3_error};
use serde::{Deserialize, Serialize};

/// An output with the checksums of an object: the same fields in several kinds of outputs.
macro_rules! summed {
    ($sums:expr, $output:ident { $($field:ident: $value:expr),* $(,)? }) => {{
        let sums: s3s::dto::Checksum = $sums;
        // Some kinds have no other fields.
        #[allow(clippy::needless_update)]
        let output = $output {
            $($field: $value,)*
            checksum_crc32: sums.checksum_crc32,
            checksum_crc32c: sums.checksum_crc32c,
            checksum_crc64nvme: sums.checksum_crc64nvme,
            checksum_sha1: sums.checksum_sha1,
            checksum_sha256: sums.checksum_sha256,
            checksum_type: sums.checksum_type,
            ..$output::default()
        };
        output
    }};
}
pub(crate) use summed;

/// One of the algorithms.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub(crate) enum Algorithm {
    Crc32,
    Crc32c,
    Crc64Nvme,
    Sha1,
    Sha256,
}

impl Algorithm {
    pub(crate) const ALL: [Algorithm; 5] =
        [Algorithm::Crc32, Algorithm::Crc32c, Algorithm::Crc64Nvme, Algorithm::Sha1, Algorithm::Sha256];

    /// As S3 writes it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Algorithm::Crc32 => "CRC32",
            Algorithm::Crc32c => "CRC32C",
            Algorithm::Crc64Nvme => "CRC64NVME",
            Algorithm::Sha1 => "SHA1",
            Algorithm::Sha256 => "SHA256",
        }
    }

    /// The header that carries it.
    pub(crate) fn header(self) -> &'static str {
        match self {
            Algorithm::Crc32 => "x-amz-checksum-crc32",
            Algorithm::Crc32c => "x-amz-checksum-crc32c",
            Algorithm::Crc64Nvme => "x-amz-checksum-crc64nvme",
            Algorithm::Sha1 => "x-amz-checksum-sha1",
            Algorithm::Sha256 => "x-amz-checksum-sha256",
        }
    }

    pub(crate) fn of(name: &str) -> S3Result<Algorithm> {
        let found = Algorithm::ALL.into_iter().find(|algorithm| algorithm.name().eq_ignore_ascii_case(name));
        found.ok_or_else(|| s3_error!(InvalidArgument, "Checksum algorithm provided is unsupported."))
    }

    pub(crate) fn dto(self) -> ChecksumAlgorithm {
        ChecksumAlgorithm::from_static(self.name())
    }

    /// Whether checksums of parts can be joined to that of the whole.
    pub(crate) fn joins(self) -> bool {
        matches!(self, Algorithm::Crc32 | Algorithm::Crc32c | Algorithm::Crc64Nvme)
    }
}

/// A checksum of a whole object, or of the checksums of its parts.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Sum {
    pub(crate) algorithm: Algorithm,
    /// In base 64.
    pub(crate) value: String,
    /// Of the checksums of so many parts; 0: of the bytes.
    pub(crate) parts: u32,
}

impl Sum {
    /// As headers and XML have it.
    pub(crate) fn text(&self) -> String {
        if self.parts == 0 { self.value.clone() } else { format!("{}-{}", self.value, self.parts) }
    }

    pub(crate) fn dto_type(&self) -> ChecksumType {
        ChecksumType::from_static(if self.parts == 0 {
            ChecksumType::FULL_OBJECT
        } else {
            ChecksumType::COMPOSITE
        })
    }
}

/// What a client says that the checksums are.
#[derive(Clone, Default, Debug)]
pub(crate) struct Claimed(pub(crate) Vec<(Algorithm, String)>);

impl Claimed {
    pub(crate) fn new(
        crc32: Option<String>,
        crc32c: Option<String>,
        crc64nvme: Option<String>,
        sha1: Option<String>,
        sha256: Option<String>,
    ) -> Claimed {
        let all = [crc32, crc32c, crc64nvme, sha1, sha256];
        let claimed =
            Algorithm::ALL.into_iter().zip(all).filter_map(|(algorithm, sum)| Some((algorithm, sum?)));
        Claimed(claimed.collect())
    }

    /// The form of each is checked before any byte is read.
    pub(crate) fn check_form(&self) -> S3Result<()> {
        if self.0.len() > 1 {
            return Err(s3_error!(InvalidRequest, "Expecting a single x-amz-checksum- header"));
        }
        for (algorithm, value) in &self.0 {
            let length = match algorithm {
                Algorithm::Crc32 | Algorithm::Crc32c => 4,
                Algorithm::Crc64Nvme => 8,
                Algorithm::Sha1 => 20,
                Algorithm::Sha256 => 32,
            };
            if decode(value).is_none_or(|bytes| bytes.len() != length) {
                return Err(s3_error!(BadDigest, "Value for {} header is invalid.", algorithm.header()));
            }
        }
        Ok(())
    }
}

/// Computes those that are wanted.
pub(crate) struct Summing(ChecksumHasher);

impl Summing {
    pub(crate) fn new(wanted: impl IntoIterator<Item = Algorithm>) -> Summing {
        let mut others = ChecksumHasher::default();
        for algorithm in wanted {
            match algorithm {
                Algorithm::Crc32 => others.crc32 = Some(Crc32::new()),
                Algorithm::Crc32c => others.crc32c = Some(Crc32c::new()),
                Algorithm::Crc64Nvme => others.crc64nvme = Some(Crc64Nvme::new()),
                Algorithm::Sha1 => others.sha1 = Some(Sha1::new()),
                Algorithm::Sha256 => others.sha256 = Some(Sha256::new()),
            }
        }
        Summing(others)
    }

    pub(crate) fn update(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    pub(crate) fn finish(self) -> Vec<Sum> {
        let all = self.0.finalize();
        let values = [
            all.checksum_crc32,
            all.checksum_crc32c,
            all.checksum_crc64nvme,
            all.checksum_sha1,
            all.checksum_sha256,
        ];
        let sums = Algorithm::ALL
            .into_iter()
            .zip(values)
            .filter_map(|(algorithm, value)| Some(Sum { algorithm, value: value?, parts: 0 }));
        sums.collect()
    }
}

/// Computes MD5 and whichever others are wanted.
pub(crate) struct Hashing {
    md5: Md5,
    others: Summing,
}

impl Hashing {
    pub(crate) fn new(wanted: impl IntoIterator<Item = Algorithm>) -> Hashing {
        Hashing { md5: Md5::default(), others: Summing::new(wanted) }
    }

    pub(crate) fn update(&mut self, data: &[u8]) {
        self.md5.update(data);
        self.others.update(data);
    }

    pub(crate) fn finish(self) -> ([u8; 16], Vec<Sum>) {
        (self.md5.finish(), self.others.finish())
    }
}

/// All sums as S3 shows them.
pub(crate) fn dto(sums: &[Sum]) -> Checksum {
    let of = |algorithm| sums.iter().find(|sum| sum.algorithm == algorithm).map(Sum::text);
    Checksum {
        checksum_crc32: of(Algorithm::Crc32),
        checksum_crc32c: of(Algorithm::Crc32c),
        checksum_crc64nvme: of(Algorithm::Crc64Nvme),
        checksum_sha1: of(Algorithm::Sha1),
        checksum_sha256: of(Algorithm::Sha256),
        checksum_type: sums.first().map(Sum::dto_type),
    }
}

pub(crate) fn encode(bytes: &[u8]) -> String {
    base64_simd::STANDARD.encode_to_string(bytes)
}

pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    base64_simd::STANDARD.decode_to_vec(text).ok()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |half: u8| char::from(DIGITS[usize::from(half)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// The checksum of the joined checksums of parts.
pub(crate) fn of_sums(algorithm: Algorithm, parts: &[Vec<u8>]) -> Sum {
    let mut summing = Summing::new([algorithm]);
    parts.iter().for_each(|part| summing.update(part));
    let value = summing.finish().pop().map(|sum| sum.value).unwrap_or_default();
    Sum { algorithm, value, parts: u32::try_from(parts.len()).unwrap_or(u32::MAX) }
}

/// The MD5 of the joined MD5s of parts.
pub(crate) fn md5_of_md5s(parts: impl Iterator<Item = [u8; 16]>) -> [u8; 16] {
    let mut md5 = Md5::default();
    parts.for_each(|part| md5.update(&part));
    md5.finish()
}
