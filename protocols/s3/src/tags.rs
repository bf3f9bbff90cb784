//! Tags of objects and buckets.

use crate::error::custom;
use http::StatusCode;
use s3s::dto::{Tag, Tagging};
use s3s::xml::{Deserialize, Deserializer};
use s3s::{S3Result, s3_error};

/// Tags of an object, and of a bucket.
pub(crate) const OBJECT_TAGS_MAX: usize = 10;
pub(crate) const BUCKET_TAGS_MAX: usize = 50;
const KEY_CHARS_MAX: usize = 128;
const VALUE_CHARS_MAX: usize = 256;

/// Tags as they are kept.
pub(crate) type Tags = Vec<(String, String)>;

fn check(tags: Tags, most: usize) -> S3Result<Tags> {
    if tags.len() > most {
        return Err(if most == OBJECT_TAGS_MAX {
            s3_error!(InvalidTag, "Object tags cannot be greater than 10")
        } else {
            custom("BadRequest", StatusCode::BAD_REQUEST, "Bucket tag count cannot be greater than 50")
        });
    }
    for (at, (key, value)) in tags.iter().enumerate() {
        if key.is_empty() || key.chars().count() > KEY_CHARS_MAX {
            return Err(s3_error!(InvalidTag, "The TagKey you have provided is invalid"));
        }
        if value.chars().count() > VALUE_CHARS_MAX {
            return Err(s3_error!(InvalidTag, "The TagValue you have provided is invalid"));
        }
        if tags[..at].iter().any(|(other, _)| other == key) {
            return Err(s3_error!(InvalidTag, "Cannot provide multiple Tags with the same key"));
        }
    }
    let mut tags = tags;
    tags.sort();
    Ok(tags)
}

/// Of the header `x-amz-tagging`: `key=value&key=value`, percent-encoded.
pub(crate) fn from_header(text: &str) -> S3Result<Tags> {
    let pairs = text.split('&').filter(|pair| !pair.is_empty());
    let tags = pairs.map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (crate::text::unescape(key), crate::text::unescape(value))
    });
    check(tags.collect(), OBJECT_TAGS_MAX)
}

/// Of the field of a form, which is a document, as a header.
pub(crate) fn header_of_form(text: &str) -> S3Result<String> {
    let tagging =
        Tagging::deserialize(&mut Deserializer::new(text.as_bytes())).map_err(|_| s3_error!(MalformedXML))?;
    let escape = |text: &Option<String>| crate::text::escape(text.as_deref().unwrap_or_default());
    let pairs = tagging.tag_set.iter().map(|tag| format!("{}={}", escape(&tag.key), escape(&tag.value)));
    Ok(pairs.collect::<Vec<_>>().join("&"))
}

/// Of a document.
pub(crate) fn from_dto(tagging: &Tagging, most: usize) -> S3Result<Tags> {
    let tags = tagging
        .tag_set
        .iter()
        .map(|tag| (tag.key.clone().unwrap_or_default(), tag.value.clone().unwrap_or_default()));
    check(tags.collect(), most)
}

pub(crate) fn dto(tags: Tags) -> Vec<Tag> {
    tags.into_iter().map(|(key, value)| Tag { key: Some(key), value: Some(value) }).collect()
}
