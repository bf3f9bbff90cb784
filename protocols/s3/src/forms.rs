//! The field `tagging` of a form, which the wire crate checks against the form's policy and tells nobody.
//!
//! The body is looked at on its way: all fields come before the file, and together they are bounded.

use bytes::Bytes;
use http::{HeaderMap, header};
use parking_lot::Mutex;
use s3s::{S3Result, s3_error};
use std::sync::Arc;

/// Bytes of all fields before the file.
pub(crate) const FIELDS_BYTES_MAX: usize = 1 << 20;
/// Bytes of the heads of fields, beyond.
const HEADS_BYTES_MAX: usize = 256 << 10;

/// What has been seen of a form; in the extensions of its request.
#[derive(Clone)]
pub(crate) struct Seen(Arc<Mutex<Fields>>);

struct Fields {
    /// What stands before each field but the first.
    mark: Vec<u8>,
    /// The body up to the file.
    bytes: Vec<u8>,
    done: bool,
}

impl Seen {
    /// For a request with a form of this type.
    pub(crate) fn new(headers: &HeaderMap) -> Option<Seen> {
        let text = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
        let boundary = text.split(';').find_map(|part| {
            let (name, value) = part.split_once('=')?;
            name.trim().eq_ignore_ascii_case("boundary").then(|| value.trim().trim_matches('"'))
        })?;
        let mark = format!("\r\n--{boundary}").into_bytes();
        // As if a line had ended before the first field too.
        Some(Seen(Arc::new(Mutex::new(Fields { mark, bytes: b"\r\n".to_vec(), done: false }))))
    }

    /// More of the body has come.
    pub(crate) fn take(&self, data: &Bytes) {
        let mut fields = self.0.lock();
        if fields.done {
            return;
        }
        let from = fields.bytes.len().saturating_sub(4096);
        let most = FIELDS_BYTES_MAX + HEADS_BYTES_MAX;
        let room = most.saturating_sub(fields.bytes.len());
        fields.bytes.extend_from_slice(&data[..data.len().min(room)]);
        let full = data.len() >= room;
        fields.done = full || names_file(&fields.bytes[from..]);
    }

    /// The value of the field `tagging`, if there is one.
    ///
    /// # Errors
    /// `InvalidArgument` when there are several: which one the policy was for nobody could say.
    pub(crate) fn tagging(&self) -> S3Result<Option<String>> {
        let fields = self.0.lock();
        let mut found = None;
        for part in split(&fields.bytes, &fields.mark).skip(1) {
            let Some(at) = position(part, b"\r\n\r\n") else { continue };
            let (head, value) = (String::from_utf8_lossy(&part[..at]), &part[at + 4..]);
            match name_of(&head) {
                Some(name) if name.eq_ignore_ascii_case("file") => break,
                Some(name) if name.eq_ignore_ascii_case("tagging") => {}
                _ => continue,
            }
            if found.is_some() {
                return Err(s3_error!(InvalidArgument, "The field tagging stands twice in the form."));
            }
            found = Some(String::from_utf8(value.to_vec()).map_err(|_| s3_error!(MalformedXML))?);
        }
        Ok(found)
    }
}

fn position(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

/// The parts between marks.
fn split<'a>(bytes: &'a [u8], mark: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    let mut rest = Some(bytes);
    std::iter::from_fn(move || {
        let all = rest?;
        match position(all, mark) {
            Some(at) => {
                rest = Some(&all[at + mark.len()..]);
                Some(&all[..at])
            }
            None => {
                rest = None;
                Some(all)
            }
        }
    })
}

/// Whether the file has begun, after which no field counts.
fn names_file(bytes: &[u8]) -> bool {
    let text = bytes.to_ascii_lowercase();
    position(&text, b"name=\"file\"").is_some_and(|at| position(&text[at..], b"\r\n\r\n").is_some())
}

/// The name in the head of a field.
fn name_of(head: &str) -> Option<&str> {
    let line = head.lines().find(|line| line.to_ascii_lowercase().starts_with("content-disposition:"))?;
    line.split(';').find_map(|part| {
        let (name, value) = part.trim().split_once('=')?;
        name.eq_ignore_ascii_case("name").then(|| value.trim_matches('"'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(fields: &[(&str, &str)]) -> Vec<u8> {
        let field = |(name, value): &(&str, &str)| {
            format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
        };
        let mut all: String = fields.iter().map(field).collect();
        all += "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"x\"\r\nContent-Type: text/plain\r\n\r\n";
        let mut all = all.into_bytes();
        all.extend_from_slice(&[0xff; 5000]);
        all.extend_from_slice(
            b"\r\n--b\r\nContent-Disposition: form-data; name=\"tagging\"\r\n\r\nlate\r\n--b--\r\n",
        );
        all
    }

    fn seen(body: &[u8], step: usize) -> S3Result<Option<String>> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, "multipart/form-data; boundary=\"b\"".parse().unwrap());
        let seen = Seen::new(&headers).unwrap();
        for part in body.chunks(step) {
            seen.take(&Bytes::copy_from_slice(part));
        }
        seen.tagging()
    }

    #[test]
    fn the_field_is_found_however_the_body_comes() {
        let one = form(&[("key", "k"), ("Tagging", "<T/>\r\nmore"), ("acl", "private")]);
        for step in [1, 3, 64, 1 << 20] {
            assert_eq!(seen(&one, step).unwrap().as_deref(), Some("<T/>\r\nmore"), "{step}");
            assert_eq!(seen(&form(&[("key", "k")]), step).unwrap(), None);
            assert!(seen(&form(&[("tagging", "a"), ("tagging", "b")]), step).is_err());
        }
        let long = "x".repeat(2 * FIELDS_BYTES_MAX);
        assert_eq!(seen(&form(&[("key", &long), ("tagging", "a")]), 4096).unwrap(), None, "it is bounded");
        assert_eq!(seen(b"", 1).unwrap(), None);
    }
}
