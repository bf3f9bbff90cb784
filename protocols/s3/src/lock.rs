//! Object lock: what may not be removed or shortened.

use crate::bucket::Bucket;
use crate::records::{LockRecord, of_bucket};
use s3s::dto::{ObjectLockConfiguration, ObjectLockRetentionMode};
use s3s::xml::{Deserialize, Deserializer};
use s3s::{S3Result, s3_error};
use types::Retention;

const DAY: i64 = 86_400;
const YEAR: i64 = 365 * DAY;

/// Whether a mode is that which nobody may go around.
pub(crate) fn is_compliance(mode: &str) -> S3Result<bool> {
    match mode {
        ObjectLockRetentionMode::COMPLIANCE => Ok(true),
        ObjectLockRetentionMode::GOVERNANCE => Ok(false),
        _ => Err(s3_error!(MalformedXML, "Unknown wormMode directive")),
    }
}

/// What the bucket says of locks.
pub(crate) fn configuration(bucket: &Bucket) -> Option<ObjectLockConfiguration> {
    let bytes = bucket.value(of_bucket::LOCK)?;
    ObjectLockConfiguration::deserialize(&mut Deserializer::new(bytes)).ok()
}

/// The retention of new objects: until when, and whether nobody may shorten it.
pub(crate) fn default_retention(bucket: &Bucket, now: i64) -> Option<(i64, bool)> {
    let rule = configuration(bucket)?.rule?.default_retention?;
    let compliance = is_compliance(rule.mode?.as_str()).ok()?;
    let days = rule.days.map(|days| i64::from(days) * DAY);
    let until = days.or(rule.years.map(|years| i64::from(years) * YEAR))?;
    Some((now.saturating_add(until), compliance))
}

impl LockRecord {
    /// As a file has it.
    pub(crate) fn of(Retention { until, compliance, hold }: Retention) -> LockRecord {
        LockRecord { retention: (until > 0).then_some((until, compliance)), legal_hold: hold }
    }

    /// As a file is to have it.
    pub(crate) fn as_retention(&self) -> Retention {
        let (until, compliance) = self.retention.unwrap_or_default();
        Retention { until, compliance, hold: self.legal_hold }
    }

    /// Whether a version may not be removed now. Governance is gone around by who may and says so.
    pub(crate) fn holds(&self, now: i64, bypass: bool) -> bool {
        let retained =
            self.retention.is_some_and(|(until, compliance)| until > now && (compliance || !bypass));
        self.legal_hold || retained
    }
}
