//! Keys of objects and paths of files, both ways. The rules are in docs/reference/s3.md.

use s3s::{S3Result, s3_error};
use types::Name;
use types::limits::NAME_BYTES_MAX;

/// Bytes of a file name that are no UTF-8 stand in keys as the characters from here on, one each: 0x80 is U+F780.
const ESCAPES: std::ops::RangeInclusive<u32> = 0xf780..=0xf7ff;
const ESCAPE_BASE: u32 = 0xf700;

/// Where an object is, below its bucket.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct ObjectPath {
    /// The directories on the way.
    pub(crate) dirs: Vec<Name>,
    /// The file; `None` where the key ends in a slash, and the object is the last directory.
    pub(crate) file: Option<Name>,
}

impl ObjectPath {
    /// The path of a key.
    ///
    /// # Errors
    /// Why no file can have it.
    pub(crate) fn of(key: &str) -> S3Result<ObjectPath> {
        let mut names = Vec::new();
        let (all, is_directory) = match key.strip_suffix('/') {
            Some(rest) => (rest, true),
            None => (key, false),
        };
        for part in all.split('/') {
            names.push(name(part)?);
        }
        let file = if is_directory { None } else { names.pop() };
        Ok(ObjectPath { dirs: names, file })
    }
}

fn name(part: &str) -> S3Result<Name> {
    if part.is_empty() {
        return Err(s3_error!(InvalidArgument, "A key cannot begin with a slash or have two in a row here."));
    }
    if part == "." || part == ".." {
        return Err(s3_error!(InvalidArgument, "A part of a key cannot be \".\" or \"..\" here."));
    }
    if part.contains('\0') {
        return Err(s3_error!(InvalidArgument, "A key cannot contain the character U+0000 here."));
    }
    let Some(bytes) = bytes_of(part) else {
        return Err(s3_error!(InvalidArgument, "The key escapes bytes that need no escape."));
    };
    if bytes.len() > NAME_BYTES_MAX {
        return Err(s3_error!(KeyTooLongError, "A part of the key between slashes is over 255 bytes long."));
    }
    Name::new(bytes).map_err(|_| s3_error!(InvalidArgument, "The key has a part that cannot be a name."))
}

/// The bytes of a key or a part of it; `None` where the same bytes are written in another way.
pub(crate) fn bytes_of(key: &str) -> Option<Vec<u8>> {
    if !key.chars().any(|c| ESCAPES.contains(&u32::from(c))) {
        return Some(key.as_bytes().to_vec());
    }
    let mut bytes = Vec::with_capacity(key.len());
    for c in key.chars() {
        match u8::try_from(u32::from(c).wrapping_sub(ESCAPE_BASE)) {
            Ok(byte) if byte >= 0x80 => bytes.push(byte),
            _ => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    (text_of(&bytes) == key).then_some(bytes)
}

/// Bytes of a path as a key shows them.
pub(crate) fn text_of(bytes: &[u8]) -> String {
    let escape = |text: &mut String, bytes: &[u8]| {
        text.extend(bytes.iter().filter_map(|byte| char::from_u32(ESCAPE_BASE + u32::from(*byte))));
    };
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if ESCAPES.contains(&u32::from(c)) {
                escape(&mut text, c.encode_utf8(&mut [0; 4]).as_bytes());
            } else {
                text.push(c);
            }
        }
        escape(&mut text, chunk.invalid());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(key: &str) -> Result<(Vec<String>, Option<String>), String> {
        let show = |name: Name| name.to_string();
        match ObjectPath::of(key) {
            Ok(path) => Ok((path.dirs.into_iter().map(show).collect(), path.file.map(show))),
            Err(error) => Err(error.code().as_str().to_owned()),
        }
    }

    #[test]
    fn slashes_part_directories_and_the_last_makes_one() {
        assert_eq!(path("a"), Ok((vec![], Some("a".into()))));
        assert_eq!(path("a/b/c"), Ok((vec!["a".into(), "b".into()], Some("c".into()))));
        assert_eq!(path("a/b/"), Ok((vec!["a".into(), "b".into()], None)));
    }

    #[test]
    fn what_no_file_can_be_called_is_refused() {
        for key in ["/", "/a", "a//b", "a//", ".", "..", "a/./b", "a/../b", "../", "a\0b"] {
            assert_eq!(path(key), Err("InvalidArgument".into()), "{key:?}");
        }
        assert_eq!(path(&"x".repeat(256)), Err("KeyTooLongError".into()));
        assert!(path(&format!("{}/{}", "x".repeat(255), "y".repeat(255))).is_ok());
    }

    #[test]
    fn names_that_are_no_text_have_a_key_and_each_key_one_name() {
        for bytes in
            [&b"plain"[..], b"\xff\x80", b"a\xc3(", "\u{f7ff}".as_bytes(), "\u{e4}\u{1f600}".as_bytes()]
        {
            let text = text_of(bytes);
            assert_eq!(bytes_of(&text).as_deref(), Some(bytes), "{text:?}");
        }
        assert_eq!(text_of(b"a\xff"), "a\u{f7ff}");
        assert_eq!(bytes_of("\u{f7c3}\u{f7a4}"), None, "that is U+00E4, which needs no escape");
        assert_eq!(path("\u{f7c3}\u{f7a4}"), Err("InvalidArgument".into()));
    }
}
