//! What a drive's logs and maps take beside its chunks.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Unit of `st_blocks` (stat(2)).
const STAT_BLOCK: u64 = 512;

/// Bytes that the files below `log` and `map` of the drive in `dir` take on their file system. Files come and go
/// meanwhile: one that is gone takes nothing.
///
/// # Errors
/// Those of the file system.
pub fn metadata_bytes(dir: &Path) -> io::Result<u64> {
    Ok(below(&dir.join("log"))? + below(&dir.join("map"))?)
}

fn below(dir: &Path) -> io::Result<u64> {
    let Some(entries) = there(fs::read_dir(dir))? else { return Ok(0) };
    let mut sum = 0;
    for entry in entries {
        let Some(entry) = there(entry)? else { continue };
        let Some(found) = there(entry.metadata())? else { continue };
        sum += found.blocks() * STAT_BLOCK;
        if found.is_dir() {
            sum += below(&entry.path())?;
        }
    }
    Ok(sum)
}

fn there<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_below_counts_and_nothing_beside() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(metadata_bytes(dir.path()).unwrap(), 0, "nothing is there yet");
        fs::create_dir_all(dir.path().join("map/tables")).unwrap();
        fs::create_dir(dir.path().join("log")).unwrap();
        let empty = metadata_bytes(dir.path()).unwrap();
        fs::write(dir.path().join("chunks"), vec![1; 1 << 20]).unwrap();
        assert_eq!(metadata_bytes(dir.path()).unwrap(), empty);
        for file in ["log/1", "map/tables/2"] {
            fs::write(dir.path().join(file), vec![1; 100_000]).unwrap();
            fs::File::open(dir.path().join(file)).unwrap().sync_all().unwrap();
        }
        let full = metadata_bytes(dir.path()).unwrap();
        assert!((200_000..300_000).contains(&(full - empty)), "{empty} {full}");
    }
}
