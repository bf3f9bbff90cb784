//! Listings of whole buckets, page by page.

use crate::s3_request::{S3Request, exchange, now};
use admin::S3KeyReport;
use std::io;
use std::net::SocketAddr;

/// Hands every key of a bucket to `each`, in the order they come; how many pages there were. Keys are taken as the
/// listing has them.
///
/// # Errors
/// Those of the connection, and any answer that is no page.
pub fn list_all(
    host: SocketAddr,
    key: &S3KeyReport,
    bucket: &str,
    mut each: impl FnMut(&str),
) -> io::Result<u64> {
    let mut token = String::new();
    for pages in 1.. {
        let request = S3Request::new("GET", &format!("/{bucket}?{token}list-type=2"));
        let answer = exchange(host, &request.payload("UNSIGNED-PAYLOAD").signed(host, key, &now()))?;
        let text = String::from_utf8(answer.body).map_err(io::Error::other)?;
        if answer.status != 200 {
            return Err(io::Error::other(format!("{}: {text}", answer.status)));
        }
        for part in text.split("<Key>").skip(1) {
            each(part.split("</Key>").next().unwrap_or_default());
        }
        let next = text.split_once("<NextContinuationToken>").and_then(|(_, rest)| rest.split_once("</"));
        let Some((next, _)) = next else { return Ok(pages) };
        token = format!("continuation-token={}&", next.bytes().map(escaped).collect::<String>());
    }
    Ok(0)
}

fn escaped(byte: u8) -> String {
    match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    }
}

/// What a listing has to have, and has had.
#[derive(Debug, Default)]
pub struct Tally {
    /// Keys that nobody touches, in order, that have come so far.
    pub found: u64,
    /// What is wrong, in words; the first few.
    pub wrong: Vec<String>,
    last: String,
}

impl Tally {
    /// A key has come. `number` says which of the known keys it is, if it is one; they are numbered in their order.
    pub fn add(&mut self, key: &str, number: Option<u64>) {
        if key <= self.last.as_str() {
            self.blame(format!("{key} after {}", self.last));
        }
        key.clone_into(&mut self.last);
        if let Some(number) = number {
            if number != self.found {
                self.blame(format!("{key} as number {}", self.found));
            }
            self.found += 1;
        }
    }

    fn blame(&mut self, what: String) {
        if self.wrong.len() < 10 {
            self.wrong.push(what);
        }
    }
}
