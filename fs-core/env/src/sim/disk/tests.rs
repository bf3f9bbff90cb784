//! The simulated device must fail in exactly the ways it promises.

use super::*;
use proptest::prelude::*;

fn filled(value: u8) -> AlignedBuf {
    let mut data = AlignedBuf::zeroed(BLOCK_BYTES);
    data.fill(value);
    data
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap()
        .block_on(future)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn a_cut_keeps_what_was_synced_and_any_later_version_per_sector(
        seed: u64, before in prop::collection::vec((0..4u64, 1..=9u8), 0..8), after in prop::collection::vec((0..4u64, 10..=19u8), 0..8)
    ) {
        run(async {
            let disk = SimDisk::new(seed, 4 * 4096);
            let file = disk.file();
            let mut synced = [0u8; 4];
            for &(block, value) in &before {
                file.write_at(block * 4096, filled(value)).await.unwrap();
                synced[block as usize] = value;
            }
            file.sync().await.unwrap();
            for &(block, value) in &after {
                file.write_at(block * 4096, filled(value)).await.unwrap();
            }
            disk.cut_power();
            assert_eq!(file.sync().await, Err(BlockError::Gone));
            disk.power_on();
            assert_eq!(file.sync().await, Err(BlockError::Gone), "a handle from before the cut");
            let bytes = disk.file().read_at(0, 4 * 4096).await.unwrap();
            for (n, sector) in bytes.chunks(SECTOR_BYTES).enumerate() {
                let block = n / 8;
                let possible = |v: u8| v == synced[block] || after.contains(&(block as u64, v));
                assert!(possible(sector[0]) && sector.iter().all(|&b| b == sector[0]));
            }
        });
    }
}

#[test]
fn some_seed_tears_a_write_some_keeps_it_and_some_loses_it() {
    let (mut torn, mut kept, mut lost) = (0, 0, 0);
    for seed in 0..64 {
        run(async {
            let disk = SimDisk::new(seed, 4096);
            disk.file().write_at(0, filled(1)).await.unwrap();
            disk.cut_power();
            let sum: u32 = disk.peek(0, 4096).iter().map(|&b| u32::from(b)).sum();
            match sum {
                0 => lost += 1,
                4096 => kept += 1,
                _ => torn += 1,
            }
        });
    }
    assert!(torn > 0 && kept > 0 && lost > 0, "{torn} {kept} {lost}");
}

#[test]
fn a_later_write_can_survive_an_earlier_one_that_is_lost() {
    let reordered = (0..64).any(|seed| {
        run(async {
            let disk = SimDisk::new(seed, 2 * 4096);
            let file = disk.file();
            file.write_at(0, filled(1)).await.unwrap();
            file.write_at(4096, filled(2)).await.unwrap();
            disk.cut_power();
            disk.peek(0, 4096).iter().all(|&b| b == 0) && disk.peek(4096, 4096).contains(&2)
        })
    });
    assert!(reordered);
}

#[test]
fn power_goes_at_the_point_it_was_told() {
    run(async {
        let disk = SimDisk::new(3, 8 * 4096);
        let file = disk.file();
        disk.cut_power_at(Some(3));
        file.write_at(0, filled(1)).await.unwrap();
        file.sync().await.unwrap();
        assert_eq!(file.write_at(4096, filled(2)).await, Err(BlockError::Gone));
        assert!(!disk.powered());
        disk.power_on();
        assert_eq!(disk.operations(), 3);
        assert_eq!(disk.peek(0, 4096), vec![1; 4096]);
    });
}

#[test]
fn every_fault_shows() {
    run(async {
        let disk = SimDisk::new(5, 8 * 4096);
        let file = disk.file();
        file.write_at(0, filled(1)).await.unwrap();
        file.sync().await.unwrap();

        disk.flip_bit(100, 3);
        assert_eq!(file.read_at(0, 4096).await.unwrap()[100], 1 ^ 8);

        disk.set_faults(|f| f.misdirect_next_write = Some(4096));
        file.write_at(4096, filled(2)).await.unwrap();
        assert_eq!((disk.peek(4096, 1)[0], disk.peek(8192, 1)[0]), (0, 2));

        disk.set_faults(|f| f.lose_next_write = true);
        file.write_at(4096, filled(3)).await.unwrap();
        assert_eq!(disk.peek(4096, 1)[0], 0);

        disk.set_faults(|f| f.unreadable.push(0..1));
        assert!(matches!(file.read_at(0, 4096).await, Err(BlockError::Io { code: 5, .. })));
        assert!(file.read_at(4096, 4096).await.is_ok());

        disk.set_faults(|f| f.fail_next_sync = true);
        assert!(matches!(file.sync().await, Err(BlockError::Io { .. })));
        assert!(file.sync().await.is_ok());

        disk.set_faults(|f| f.delay = Duration::from_secs(2));
        let start = tokio::time::Instant::now();
        file.sync().await.unwrap();
        assert_eq!(start.elapsed(), Duration::from_secs(2));

        disk.set_faults(|f| f.dead = true);
        assert_eq!(file.sync().await, Err(BlockError::Gone));
    });
}

#[test]
fn images_show_every_point_and_every_end_of_it() {
    run(async {
        let disk = SimDisk::new(1, 4 * 4096);
        let file = disk.file();
        file.write_at(0, filled(1)).await.unwrap();
        file.sync().await.unwrap();
        disk.keep_images();
        file.write_at(0, filled(2)).await.unwrap();
        file.write_at(4096, filled(3)).await.unwrap();
        file.sync().await.unwrap();
        let images = disk.take_images();
        assert_eq!(
            images.iter().map(|i| (i.operation, i.pending())).collect::<Vec<_>>(),
            [(3, 1), (4, 2), (5, 2)]
        );
        let found = |fate| [0, 4096].map(|at| images[2].after(fate).peek(at, 1)[0]);
        assert_eq!(images[2].fates(4, 1).len(), 5);
        assert_eq!([0, 1, 2, 3].map(|bits| found(DiskFate::Writes(bits))), [[1, 0], [2, 0], [1, 3], [2, 3]]);
        let after = images[2].after(DiskFate::Torn(7));
        let torn: Vec<u8> = (0..16).map(|sector| after.peek(sector * 512, 1)[0]).collect();
        assert!(torn.contains(&1) && torn.contains(&2) && torn.contains(&3), "{torn:?}");
        assert_eq!(disk.image().pending(), 0);
    });
}
