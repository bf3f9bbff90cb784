//! The tree that is unpacked and removed: files of sizes as a source tree has them, always the same.

use crate::{BenchError, processes};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The name of the archive.
pub const ARCHIVE: &str = "tree.tar";

/// Files in one folder of the tree.
const FILES_PER_FOLDER: u64 = 20;

/// An archive of a tree.
#[derive(Debug)]
pub struct Tree {
    /// The tar file; it unpacks into one folder, `tree`.
    pub archive: PathBuf,
    /// Files and folders in it.
    pub entries: u64,
    /// Bytes in its files.
    pub bytes: u64,
}

impl Tree {
    /// Makes one of so many files in `folder`.
    ///
    /// # Errors
    /// Those of the machine.
    pub fn create(folder: &Path, files: u64) -> Result<Tree, BenchError> {
        let (root, archive) = (folder.join("tree"), folder.join(ARCHIVE));
        let (mut entries, mut bytes, mut random) = (1, 0, Random(1));
        for number in 0..files {
            let inner = root.join(format!("part-{:04}", number / FILES_PER_FOLDER));
            if number % FILES_PER_FOLDER == 0 {
                std::fs::create_dir_all(&inner)?;
                entries += 1;
            }
            let size = size(&mut random);
            write_file(&inner.join(format!("source-{number:06}.c")), size, &mut random)?;
            entries += 1;
            bytes += size;
        }
        let words = ["tar", "-cf", &archive.to_string_lossy(), "-C", &folder.to_string_lossy(), "tree"];
        processes::run_words(&words)?;
        std::fs::remove_dir_all(&root)?;
        Ok(Tree { archive, entries, bytes })
    }
}

/// Half of the files are under 4 KiB, a few over 64 KiB; about 10 KiB on average.
fn size(random: &mut Random) -> u64 {
    let spread = |random: &mut Random, from: u64, to: u64| from + random.next() % (to - from);
    match random.next() % 100 {
        0..50 => spread(random, 100, 4 << 10),
        50..85 => spread(random, 4 << 10, 16 << 10),
        85..97 => spread(random, 16 << 10, 64 << 10),
        _ => spread(random, 64 << 10, 128 << 10),
    }
}

/// Bytes that do not compress.
fn write_file(path: &Path, size: u64, random: &mut Random) -> io::Result<()> {
    let words = size.div_ceil(8);
    let mut bytes: Vec<u8> = (0..words).flat_map(|_| random.next().to_le_bytes()).collect();
    bytes.truncate(usize::try_from(size).map_err(io::Error::other)?);
    std::fs::File::create(path)?.write_all(&bytes)
}

/// xorshift64: the same tree in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_archive_holds_what_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let tree = Tree::create(folder.path(), 45).unwrap();
        assert_eq!(tree.entries, 45 + 3 + 1);
        let into = folder.path().join("into");
        std::fs::create_dir(&into).unwrap();
        let words = ["tar", "-xf", &tree.archive.to_string_lossy(), "-C", &into.to_string_lossy()];
        processes::run_words(&words).unwrap();
        let listed =
            processes::run_words(&["find", &into.to_string_lossy(), "-type", "f", "-printf", "%s\n"]);
        let sizes: Vec<u64> = listed.unwrap().lines().map(|line| line.parse().unwrap()).collect();
        assert_eq!((sizes.len(), sizes.iter().sum::<u64>()), (45, tree.bytes));
    }
}
