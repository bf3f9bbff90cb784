//! What happened: as it is kept, and as it is told, which is AWS's event message structure, version 2.1.

use crate::object::timestamp;
use crate::text::escape;
use s3s::dto::TimestampFormat;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use types::Time;

/// What happened to an object. Kept by its place here: new ones come last.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum Kind {
    Put,
    Post,
    Copy,
    Complete,
    Delete,
    DeleteMarker,
    /// Nothing: a bucket's configuration was put.
    Test,
}

impl Kind {
    /// Those that a rule can ask for.
    pub(crate) const OF_OBJECTS: [Kind; 6] =
        [Kind::Put, Kind::Post, Kind::Copy, Kind::Complete, Kind::Delete, Kind::DeleteMarker];

    /// As records name it; rules have `s3:` before it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Put => "ObjectCreated:Put",
            Kind::Post => "ObjectCreated:Post",
            Kind::Copy => "ObjectCreated:Copy",
            Kind::Complete => "ObjectCreated:CompleteMultipartUpload",
            Kind::Delete => "ObjectRemoved:Delete",
            Kind::DeleteMarker => "ObjectRemoved:DeleteMarkerCreated",
            Kind::Test => "TestEvent",
        }
    }

    fn creates(self) -> bool {
        matches!(self, Kind::Put | Kind::Post | Kind::Copy | Kind::Complete)
    }
}

/// A change, as the operation tells of it.
pub(crate) struct Told<'a> {
    pub(crate) kind: Kind,
    pub(crate) key: &'a str,
    pub(crate) size: u64,
    pub(crate) etag: &'a str,
    pub(crate) version: Option<&'a str>,
    pub(crate) at: Time,
}

/// An event as it is kept until its target has it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct EventRecord {
    pub(crate) kind: Kind,
    /// The rule that it is told by.
    pub(crate) rule: String,
    pub(crate) bucket: String,
    /// The canonical id of the bucket's owner.
    pub(crate) owner: String,
    pub(crate) key: String,
    pub(crate) size: u64,
    pub(crate) etag: String,
    pub(crate) version: Option<String>,
    /// Since 1970.
    pub(crate) seconds: i64,
    pub(crate) nanoseconds: u32,
    /// The canonical id of who did it; empty for nobody in particular.
    pub(crate) principal: String,
    pub(crate) address: String,
    pub(crate) request: String,
}

impl EventRecord {
    /// What is posted.
    pub(crate) fn message(&self, region: &str) -> Value {
        let at = Time { seconds: self.seconds, nanoseconds: self.nanoseconds };
        let mut time = Vec::new();
        // Writing into memory does not fail.
        let _ = timestamp(at).format(TimestampFormat::DateTime, &mut time);
        let time = String::from_utf8_lossy(&time).into_owned();
        if self.kind == Kind::Test {
            return json!({
                "Service": "Amazon S3",
                "Event": "s3:TestEvent",
                "Time": time,
                "Bucket": self.bucket,
                "RequestId": self.request,
                "HostId": self.request,
            });
        }
        let since = self.seconds.saturating_mul(1_000_000_000).saturating_add(i64::from(self.nanoseconds));
        // As in the query of a URL.
        let key = escape(&self.key).replace("%20", "+");
        let mut object = json!({ "key": key, "sequencer": format!("{since:016X}") });
        if self.kind.creates() {
            object["size"] = json!(self.size);
            object["eTag"] = json!(self.etag);
        }
        if let Some(version) = &self.version {
            object["versionId"] = json!(version);
        }
        let record = json!({
            "eventVersion": "2.1",
            "eventSource": "aws:s3",
            "awsRegion": region,
            "eventTime": time,
            "eventName": self.kind.name(),
            "userIdentity": { "principalId": self.principal },
            "requestParameters": { "sourceIPAddress": self.address },
            "responseElements": { "x-amz-request-id": self.request, "x-amz-id-2": self.request },
            "s3": {
                "s3SchemaVersion": "1.0",
                "configurationId": self.rule,
                "bucket": {
                    "name": self.bucket,
                    "ownerIdentity": { "principalId": self.owner },
                    "arn": format!("arn:aws:s3:::{}", self.bucket),
                },
                "object": object,
            },
        });
        // The two before the records are as MinIO has them, for who looks there.
        json!({
            "EventName": format!("s3:{}", self.kind.name()),
            "Key": format!("{}/{}", self.bucket, self.key),
            "Records": [record],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::{decode, encode};

    fn record(kind: Kind) -> EventRecord {
        EventRecord {
            kind,
            rule: "r".into(),
            bucket: "b".into(),
            owner: "o".into(),
            key: "a b/\u{e4}".into(),
            size: 5,
            etag: "e".into(),
            version: Some("v".into()),
            seconds: 1,
            nanoseconds: 2_000_000,
            principal: "p".into(),
            address: "::1".into(),
            request: "i".into(),
        }
    }

    #[test]
    fn what_is_kept_is_frozen() {
        let record = EventRecord { key: "k".into(), ..record(Kind::Copy) };
        let bytes = encode(&record);
        assert_eq!(
            bytes.as_ref(),
            b"\x01\x02\x01r\x01b\x01o\x01k\x05\x01e\x01\x01v\x02\x80\x89\x7a\x01p\x03::1\x01i"
        );
        assert_eq!(decode(&bytes), Some(record));
    }

    #[test]
    fn messages_are_as_aws_has_them() {
        let message = record(Kind::Put).message("here");
        assert_eq!(message["EventName"], "s3:ObjectCreated:Put");
        let own = &message["Records"][0];
        assert_eq!(own["eventTime"], "1970-01-01T00:00:01.002Z");
        assert_eq!((&own["eventName"], &own["awsRegion"]), (&json!("ObjectCreated:Put"), &json!("here")));
        assert_eq!(
            own["s3"]["object"],
            json!({"key": "a+b/%C3%A4", "size": 5, "eTag": "e", "versionId": "v", "sequencer": "000000003BB94E80"})
        );
        let gone = record(Kind::DeleteMarker).message("here");
        assert_eq!(gone["Records"][0]["s3"]["object"].get("size"), None);
        assert_eq!(record(Kind::Test).message("here")["Event"], "s3:TestEvent");
    }
}
