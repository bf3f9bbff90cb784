//! Every way a directory can be the wrong one must be told apart.

use super::*;
use env::SystemRandom;

const CLUSTER: [u8; 16] = [1; 16];
const SIZE: u64 = 16 << 20;

async fn make(path: &Path, drive: u32) -> (DriveDirectory, ChunkStore) {
    DriveDirectory::create(path, &CLUSTER, DriveId(drive), SIZE, Engine::Auto, &SystemRandom).await.unwrap()
}

async fn reopen(
    path: &Path,
    cluster: [u8; 16],
    drive: u32,
) -> Result<(DriveDirectory, ChunkStore), IdentityError> {
    DriveDirectory::open(path, &cluster, DriveId(drive), Engine::Auto, &SystemRandom).await
}

#[tokio::test]
async fn a_drive_is_made_closed_and_opened_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a/drive0");
    let (made, store) = make(&path, 3).await;
    assert_eq!(std::fs::metadata(path.join("chunks")).unwrap().len(), SIZE);
    assert!(matches!(reopen(&path, CLUSTER, 3).await, Err(IdentityError::InUse { .. })));
    store.close().await;
    let identity = made.identity().clone();
    drop((made, store));
    let (opened, _store) = reopen(&path, CLUSTER, 3).await.unwrap();
    assert_eq!(*opened.identity(), identity);
    let again = DriveDirectory::create(&path, &CLUSTER, DriveId(3), SIZE, Engine::Auto, &SystemRandom).await;
    assert!(matches!(again, Err(IdentityError::InUse { .. })));
}

#[tokio::test]
async fn missing_foreign_wrong_mixed_and_doubled_drives_are_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    assert!(matches!(reopen(&at("none"), CLUSTER, 0).await, Err(IdentityError::Missing { .. })));
    std::fs::create_dir(at("empty")).unwrap();
    assert!(matches!(reopen(&at("empty"), CLUSTER, 0).await, Err(IdentityError::Missing { .. })));
    make_and_close(&at("a"), 1).await;
    make_and_close(&at("b"), 2).await;
    assert!(matches!(reopen(&at("a"), [9; 16], 1).await, Err(IdentityError::Foreign { .. })));
    assert!(matches!(
        reopen(&at("a"), CLUSTER, 2).await,
        Err(IdentityError::WrongDrive { found: 1, wanted: 2, .. })
    ));
    let exists =
        DriveDirectory::create(&at("a"), &CLUSTER, DriveId(1), SIZE, Engine::Auto, &SystemRandom).await;
    assert!(matches!(exists, Err(IdentityError::Exists { .. })));

    let mut found = vec![
        (at("a"), DriveIdentity::read(&at("a")).unwrap()),
        (at("b"), DriveIdentity::read(&at("b")).unwrap()),
    ];
    DriveIdentity::check_doubled(&found).unwrap();
    found.push((at("copy of a"), found[0].1.clone()));
    assert!(matches!(DriveIdentity::check_doubled(&found), Err(IdentityError::Doubled { drive: 1, .. })));

    std::fs::copy(at("b").join("chunks"), at("a").join("chunks")).unwrap();
    assert!(matches!(reopen(&at("a"), CLUSTER, 1).await, Err(IdentityError::Mixed { .. })));
}

#[tokio::test]
async fn a_try_that_was_cut_off_is_repeated_and_a_small_drive_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("chunks"), b"half").unwrap();
    make_and_close(dir.path(), 0).await;
    let small = dir.path().join("small");
    let made =
        DriveDirectory::create(&small, &CLUSTER, DriveId(0), 1 << 20, Engine::Auto, &SystemRandom).await;
    assert!(matches!(made.err(), Some(IdentityError::Chunks { error: DriveError::Invalid(_), .. })));
}

#[test]
fn a_damaged_identity_is_refused_with_the_reason() {
    let identity = DriveIdentity {
        version: VERSION,
        cluster: hex(&CLUSTER),
        drive: 5,
        incarnation: hex(&[0xab; 16]),
        size: SIZE,
    };
    let path = Path::new("x");
    let text = identity.encode();
    assert_eq!(DriveIdentity::decode(path, text.as_bytes()).unwrap(), identity);
    for at in 0..text.len() - 1 {
        let mut bytes = text.clone().into_bytes();
        bytes[at] ^= 1;
        assert!(DriveIdentity::decode(path, &bytes).is_err(), "byte {at}");
    }
    let newer = text.replacen("plexus-drive 1", "plexus-drive 2", 1);
    assert!(matches!(
        DriveIdentity::decode(path, newer.as_bytes()),
        Err(IdentityError::Version { found: 2, .. })
    ));
    for bad in ["", "\n", "plexus-drive", "plexus-drive x crc32c 0\n{}", "\u{fffd}"] {
        assert!(matches!(DriveIdentity::decode(path, bad.as_bytes()), Err(IdentityError::Damaged { .. })));
    }
}

async fn make_and_close(path: &Path, drive: u32) {
    let (_made, store) = make(path, drive).await;
    store.close().await;
}
