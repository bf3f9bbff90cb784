//! Power cuts: the harness itself on ext4, where it passes what keeps its promises and finds what does not;
//! and the daemon.

use e2e::{Door, PowerCut, PowerCutError};
use std::time::Duration;

fn ext4(options: &str, rounds: u32) -> PowerCut {
    PowerCut {
        setup: format!(
            "[ \"$ROUND\" != 0 ] || mkfs.ext4 -q /dev/ubda\nmount -o {options} /dev/ubda /mnt\nTREES=\"/mnt/x /mnt/y\"\n\
             mkdir -p $TREES; sync -f /mnt"
        ),
        beside: String::new(),
        check: "umount /mnt && fsck.ext4 -fn /dev/ubda".to_owned(),
        disk_bytes: 512 << 20,
        rounds,
        seed: 1,
        sync_names: true,
        longest: Duration::from_millis(800),
        within: Duration::MAX,
    }
}

#[test]
fn ext4_keeps_what_it_acknowledged() {
    let report = ext4("defaults", 4).run().unwrap_or_else(|err| panic!("{err}"));
    assert_eq!(report.rounds, 4);
    assert!(report.acknowledged > 4, "{report:?}");
}

#[test]
fn a_file_system_that_lies_is_found_out() {
    // fsync inside an overlay with "volatile" does nothing; names and data are lost by the cut.
    let mut liar = ext4("defaults,commit=1000", 3);
    liar.setup.push_str(
        "\nmodprobe overlay\nmkdir -p /mnt/up /mnt/work /mnt/low; rm -rf /mnt/work/work/incompat\n\
         mkdir -p /tmp/liar\nmount -t overlay none -o volatile,lowerdir=/mnt/low,upperdir=/mnt/up,workdir=/mnt/work /tmp/liar\n\
         TREES=/tmp/liar/t; mkdir -p $TREES",
    );
    let Err(PowerCutError::Failed { status, output, .. }) = liar.run() else { panic!("nothing was missed") };
    assert!(status == 6 && output.contains("cut-workload"), "status {status}: {output}");
}

#[test]
fn plexus_keeps_what_it_acknowledged_at_both_doors() {
    let cuts = PowerCut::plexus("--drive-size 1G", &[Door::Fuse, Door::Nfs], 3, 11);
    let report = cuts.run().unwrap_or_else(|err| panic!("{err}"));
    assert!(report.acknowledged > 3, "{report:?}");
}

#[test]
fn plexus_keeps_what_it_acknowledged_while_drives_are_exchanged() {
    let flags = "--drives 6 --protection 4+2 --drive-size 128M";
    let report = PowerCut::plexus(flags, &[Door::Fuse, Door::Nfs], 2, 12).run();
    let report = report.unwrap_or_else(|err| panic!("{err}"));
    assert!(report.acknowledged > 2 && report.repairs > 0, "{report:?}");
}
