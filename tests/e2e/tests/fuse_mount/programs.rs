//! Programs that people run.

use crate::mounted::Mounted;

#[test]
fn git_clones_and_finds_everything_whole() {
    let mounted = Mounted::new();
    let out = mounted.sh(r#"
        git config --global user.email a@b; git config --global user.name ab
        git config --global init.defaultBranch main; git config --global safe.directory '*'
        git init -q $LOCAL/source; cd $LOCAL/source
        for i in $(seq 150); do mkdir -p d$((i % 7)); seq $i $((i * 13)) > d$((i % 7))/f$i; done
        git add .; git commit -qm one
        for i in $(seq 1 9 150); do echo more >> d$((i % 7))/f$i; done; git commit -qam two
        cd - > /dev/null
        git clone -q $LOCAL/source clone; cd clone
        git fsck --full --strict; git status --porcelain; git checkout -q HEAD~1; git gc -q; git fsck
        git checkout -q main; diff -r -x .git . $LOCAL/source && echo same
        "#);
    assert_eq!(out.trim(), "same");
}

#[test]
fn tar_unpacks_what_was_packed() {
    let mounted = Mounted::new();
    mounted.sh(r#"
        mkdir $LOCAL/tree; cd $LOCAL/tree; mkdir -p a/b/c; ln -s a/b link; mkfifo fifo
        for i in $(seq 200); do head -c $((i * 37)) /dev/urandom > a/b/f$i; done
        ln a/b/f1 hard; chmod 0640 a/b/f2; touch -d '2001-02-03 04:05:06.789' a/b/f3
        truncate -s 1M sparse; setfattr -n user.x -v y a 2>/dev/null || true
        tar -cf $LOCAL/t.tar .; cd - > /dev/null
        mkdir unpacked; tar -C unpacked -xpf $LOCAL/t.tar
        diff -r --exclude fifo unpacked $LOCAL/tree
        test $(stat -c %Y.%a unpacked/a/b/f3) = $(stat -c %Y.%a $LOCAL/tree/a/b/f3)
        test $(stat -c %a unpacked/a/b/f2) = 640
        test $(stat -c %h unpacked/hard) = 2
        tar -cf - unpacked | tar -tf - > /dev/null
        rm -rf unpacked; test -z "$(ls)"
        "#);
}

#[test]
fn sqlite_keeps_what_concurrent_writers_commit() {
    let mounted = Mounted::new();
    let out = mounted.sh(r#"
        sqlite3 db 'create table t(a, b)'
        for w in 1 2 3; do (
            for i in $(seq 25); do
                sqlite3 -cmd '.timeout 60000' db "insert into t values($w, $i)"
            done
        ) & done; wait
        sqlite3 db 'pragma journal_mode=wal' > /dev/null
        for w in 4 5; do (
            for i in $(seq 25); do
                sqlite3 -cmd '.timeout 60000' db "insert into t values($w, $i)"
            done
        ) & done; wait
        sqlite3 db 'select count(*), count(distinct a) from t; pragma integrity_check'
        "#);
    assert_eq!(out.trim(), "125|5\nok");
}

#[test]
fn fio_reads_what_it_wrote() {
    let mounted = Mounted::new();
    mounted.sh(r#"
        common="--directory=. --verify=crc32c --verify_fatal=1 --size=8m --group_reporting --minimal"
        fio $common --name=seq --rw=write --bs=1m --fsync=4 > /dev/null
        fio $common --name=rand --rw=randwrite --bs=4k --numjobs=2 --ioengine=psync > /dev/null
        fio $common --name=direct --rw=randrw --bs=16k --direct=1 > /dev/null
        fio $common --name=mmap --rw=randwrite --bs=8k --ioengine=mmap > /dev/null
        "#);
}

#[test]
fn rsync_finds_nothing_to_do_the_second_time() {
    let mounted = Mounted::new();
    let out = mounted.sh(r#"
        mkdir -p $LOCAL/from/d; for i in $(seq 50); do seq $i > $LOCAL/from/d/f$i; done
        rsync -aHX $LOCAL/from/ to/; rsync -aHX --itemize-changes $LOCAL/from/ to/
        "#);
    assert_eq!(out, "", "rsync -a sees times, modes, owners as they were set");
}
