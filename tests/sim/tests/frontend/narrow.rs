//! Drives go away: only short stripes are taken, and what was written becomes durable all the same.

use crate::rig::{Rig, commit, file, read, write};

const STRIPE: usize = 64 << 10;

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|i| (i / 7 % 251) as u8).collect()
}

#[tokio::test(start_paused = true)]
async fn a_write_back_goes_on_with_shorter_stripes() {
    let mut rig = Rig::new(STRIPE);
    let (real, top) = rig.start().await;
    let data = pattern(5 * STRIPE + 1234);
    let one = file(&real, top, "one").await;
    // Longer than two runs of it, and of no round length.
    rig.stripes.narrow(STRIPE / 3);
    for (at, part) in data.chunks(100_000).enumerate() {
        write(&real, one, (at * 100_000) as u64, part).await.unwrap();
    }
    commit(&real, one).await.unwrap();
    assert!(read(&real, one, 0, 1 << 20).await == data[..]);
    assert!(rig.stripes.ids().values().all(|&length| length <= STRIPE / 3));
    rig.audit().await;

    // Narrower still while data wait, and then the drives are back.
    write(&real, one, 10, &data[..3 * STRIPE]).await.unwrap();
    rig.stripes.narrow(STRIPE / 16);
    commit(&real, one).await.unwrap();
    rig.stripes.narrow(STRIPE);
    write(&real, one, 4 * STRIPE as u64, &data[..STRIPE]).await.unwrap();
    commit(&real, one).await.unwrap();
    let mut expected = data.clone();
    expected[10..10 + 3 * STRIPE].copy_from_slice(&data[..3 * STRIPE]);
    expected[4 * STRIPE..5 * STRIPE].copy_from_slice(&data[..STRIPE]);
    assert!(read(&real, one, 0, 1 << 20).await == expected[..]);
    rig.audit().await;
}
