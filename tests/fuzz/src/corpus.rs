//! Inputs worth keeping, all of a target in one file: `(length u32 little endian, bytes)*`, in order of length.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Where a target's inputs are kept.
#[must_use]
pub fn path(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target)
}

/// The inputs in `file`; none when it is not there.
///
/// # Errors
/// When the file cannot be read or is cut off.
pub fn read(file: &Path) -> io::Result<Vec<Vec<u8>>> {
    let bytes = match fs::read(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let mut rest = &bytes[..];
    let mut inputs = Vec::new();
    while let Some((length, after)) = rest.split_first_chunk() {
        let length = u32::from_le_bytes(*length) as usize;
        let (input, after) = after.split_at_checked(length).ok_or(io::ErrorKind::UnexpectedEof)?;
        inputs.push(input.to_vec());
        rest = after;
    }
    if rest.is_empty() { Ok(inputs) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

/// Writes each input of `file` into a file of its own in `folder`.
///
/// # Errors
/// When one of them cannot be read or written.
pub fn unpack(file: &Path, folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    for (number, input) in read(file)?.iter().enumerate() {
        fs::write(folder.join(format!("{number:06}")), input)?;
    }
    Ok(())
}

/// Writes the files of `folder` into `file`.
///
/// # Errors
/// When one of them cannot be read or written.
pub fn pack(folder: &Path, file: &Path) -> io::Result<()> {
    let mut inputs =
        fs::read_dir(folder)?.map(|entry| fs::read(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    inputs.sort_by(|a, b| (a.len(), a).cmp(&(b.len(), b)));
    inputs.dedup();
    let mut out = Vec::new();
    for input in inputs {
        out.extend_from_slice(&(input.len() as u32).to_le_bytes());
        out.extend_from_slice(&input);
    }
    fs::write(file, out)
}
