//! Reports for people.

use admin::{
    ChunkPlaces, Drives, Exports, Filesystems, FsckReport, Removal, S3KeyReport, S3Keys, Status, Webhook,
};
use serde::Serialize;
use std::fmt::Write as _;

/// A word of a report as JSON writes it, so that both outputs use the same words.
fn word<T: Serialize>(value: &T) -> String {
    serde_json::to_value(value).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

/// Bytes with three digits that count, in powers of 1,024.
fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut value = bytes as f64;
    let mut unit = "B";
    for next in UNITS {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    if unit == "B" || value >= 100.0 { format!("{value:.0} {unit}") } else { format!("{value:.1} {unit}") }
}

fn maybe_bytes(value: Option<u64>) -> String {
    value.map_or_else(|| "not counted yet".to_owned(), bytes)
}

/// Rows under a heading, each column as wide as its widest cell.
fn table<const N: usize>(heading: [&str; N], rows: &[[String; N]]) -> String {
    let mut widths = heading.map(|cell| cell.chars().count());
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    let mut line = |cells: &[&str]| {
        let padded: Vec<String> =
            cells.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        text.push_str(padded.join("  ").trim_end());
        text.push('\n');
    };
    line(&heading);
    for row in rows {
        line(&row.each_ref().map(String::as_str));
    }
    text
}

pub(crate) fn status(status: &Status) -> String {
    let mut text = String::new();
    let capacity = &status.capacity;
    let left = &status.failures_left;
    let _ = writeln!(text, "health     {}", word(&status.health));
    let _ = writeln!(text, "survives   {} more failures of data, {} of metadata", left.data, left.metadata);
    let _ = writeln!(text, "capacity   {} of {} used", bytes(capacity.used), bytes(capacity.total));
    for (name, value) in [
        ("live", capacity.live),
        ("garbage", capacity.garbage),
        ("orphan", capacity.orphan),
        ("metadata", capacity.metadata),
        ("reserved", capacity.reserved),
        ("dead", capacity.dead),
        ("missing", capacity.missing),
    ] {
        let _ = writeln!(text, "  {name:<9}{}", maybe_bytes(value));
    }
    if capacity.metadata_left == Some(0) {
        text.push_str(
            "NO SPACE FOR NAMES: nothing new is taken until the drives' file systems have space again\n",
        );
    }
    let cache = &status.data_cache;
    if cache.budget > 0 {
        let _ = writeln!(
            text,
            "cache      {} of {}; {} read from it, {} from drives",
            bytes(cache.used),
            bytes(cache.budget),
            bytes(cache.found),
            bytes(cache.missed)
        );
    }
    let background = &status.background;
    for (name, job) in [
        ("freed", background.freed),
        ("folded", background.folded),
        ("cleaned", background.cleaned),
        ("rebuilt", background.rebuilt),
    ] {
        let _ = writeln!(text, "{name:<11}{}, {} left", bytes(job.bytes), maybe_bytes(job.left));
    }
    for Removal { name, inodes, left, .. } in &status.removing {
        let _ = writeln!(text, "removing   {name}: {inodes} inodes, {} left", bytes(*left));
    }
    let recounted = &background.recounted;
    let _ = writeln!(
        text,
        "recounted  {} times, {} accounts were wrong",
        recounted.passes, recounted.differences
    );
    let scrubbed = &status.background.scrubbed;
    let lost = if scrubbed.lost > 0 { format!(", {} STRIPES LOST", scrubbed.lost) } else { String::new() };
    let _ = writeln!(text, "scrubbed   {}, {} left{lost}", bytes(scrubbed.bytes), bytes(scrubbed.left));
    let integrity = &status.integrity;
    let _ = writeln!(text, "damage     {} blocks found, {} repaired", integrity.found, integrity.repaired);
    let _ = writeln!(text, "nfs        {}", status.nfs.as_deref().unwrap_or("not served"));
    for Webhook { name, waiting, delivered, failed, dropped } in &status.webhooks {
        let _ = writeln!(
            text,
            "webhook    {name}: {delivered} events delivered, {waiting} waiting, {failed} attempts failed, {dropped} given up"
        );
    }
    let _ = writeln!(text, "version    {}, ready for {} s", status.version, status.uptime_seconds);
    text
}

pub(crate) fn drives(drives: &Drives) -> String {
    let rows: Vec<_> = drives
        .drives
        .iter()
        .map(|drive| {
            [
                drive.id.to_string(),
                word(&drive.state),
                bytes(drive.size),
                bytes(drive.used),
                drive.path.clone(),
            ]
        })
        .collect();
    table(["ID", "STATE", "SIZE", "USED", "PATH"], &rows)
}

pub(crate) fn fsck(report: &FsckReport) -> String {
    let mut text = String::new();
    for damage in &report.damage {
        let _ = writeln!(text, "{}: {}", damage.kind, damage.what);
    }
    let verdict = match report.damage.len() {
        0 => "clean".to_owned(),
        count => format!("{count} damaged"),
    };
    let _ = writeln!(
        text,
        "{verdict}: {} inodes, {} entries, {} chunks looked at",
        report.inodes, report.entries, report.chunks
    );
    if report.removing > 0 {
        let _ = writeln!(text, "{} records of filesystems that are being removed", report.removing);
    }
    text
}

pub(crate) fn placement(places: &ChunkPlaces) -> String {
    if places.chunks.is_empty() {
        return "no chunks: the file is inside its inode, or empty\n".to_owned();
    }
    let rows: Vec<_> = places
        .chunks
        .iter()
        .map(|chunk| {
            [
                chunk.stripe.to_string(),
                chunk.index.to_string(),
                chunk.drive.to_string(),
                chunk.offset.to_string(),
                chunk.length.to_string(),
                chunk.file.clone(),
            ]
        })
        .collect();
    table(["STRIPE", "INDEX", "DRIVE", "OFFSET", "LENGTH", "FILE"], &rows)
}

/// Of a filesystem that was removed, and of which nothing is left where that was waited for.
pub(crate) fn removed(removal: &Removal, waited: bool) -> String {
    let Removal { name, inodes, left, .. } = removal;
    match waited {
        true => format!("filesystem {name} is removed, and nothing is left of it\n"),
        false => format!(
            "filesystem {name} is removed; {inodes} inodes and {} on drives go in the background\n",
            bytes(*left)
        ),
    }
}

pub(crate) fn filesystems(filesystems: &Filesystems) -> String {
    let rows: Vec<_> = filesystems
        .filesystems
        .iter()
        .map(|filesystem| {
            let inodes = filesystem.inodes.map_or_else(|| "not counted yet".to_owned(), |n| n.to_string());
            [filesystem.id.to_string(), filesystem.name.clone(), maybe_bytes(filesystem.used), inodes]
        })
        .collect();
    table(["ID", "NAME", "USED", "INODES"], &rows)
}

pub(crate) fn exports(exports: &Exports) -> String {
    let rows: Vec<_> = exports
        .exports
        .iter()
        .map(|export| {
            [
                export.path.clone(),
                export.filesystem.clone(),
                word(&export.source),
                export.access.clone(),
                export.squash.clone(),
                export.anonymous.clone(),
                export.ports.clone(),
                export.clients.join(" "),
            ]
        })
        .collect();
    table(["PATH", "FILESYSTEM", "SOURCE", "ACCESS", "SQUASH", "ANONYMOUS", "PORTS", "CLIENTS"], &rows)
}

pub(crate) fn s3_key(key: &S3KeyReport) -> String {
    let secret = key.secret_key.as_deref().unwrap_or_default();
    format!(
        "access key    {}\nsecret key    {secret}\naccount       {}\ncanonical id  {}\nuser          {}\n",
        key.access_key, key.name, key.canonical_id, key.user
    )
}

pub(crate) fn s3_keys(keys: &S3Keys) -> String {
    let rows: Vec<_> = keys
        .keys
        .iter()
        .map(|key| [key.name.clone(), key.access_key.clone(), key.user.clone(), key.canonical_id.clone()])
        .collect();
    table(["ACCOUNT", "ACCESS KEY", "USER", "CANONICAL ID"], &rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use admin::{Damage, Drive, DriveState};

    #[test]
    fn tables_line_up() {
        let drive = |id, path: &str| Drive {
            id,
            path: path.to_owned(),
            state: DriveState::Serving,
            size: 8 << 30,
            used: 1536,
        };
        assert_eq!(
            drives(&Drives { drives: vec![drive(1, "/a"), drive(10, "/b")] }),
            "ID  STATE    SIZE     USED     PATH\n\
             1   serving  8.0 GiB  1.5 KiB  /a\n\
             10  serving  8.0 GiB  1.5 KiB  /b\n"
        );
    }

    #[test]
    fn damage_is_named_line_by_line() {
        let damage = Damage { kind: "link_count".to_owned(), what: "inode 7 has 2, counted 1".to_owned() };
        let report = FsckReport { inodes: 3, entries: 2, chunks: 1, removing: 9, damage: vec![damage] };
        assert_eq!(
            fsck(&report),
            "link_count: inode 7 has 2, counted 1\n1 damaged: 3 inodes, 2 entries, 1 chunks looked at\n\
             9 records of filesystems that are being removed\n"
        );
    }

    #[test]
    fn sizes_read_well() {
        for (value, text) in [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (200 << 20, "200 MiB")] {
            assert_eq!(bytes(value), text);
        }
    }
}
