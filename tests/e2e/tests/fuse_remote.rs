//! A mount's way to its daemon, with the daemon going down at any moment: callers see a pause.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "these are tests, helpers included")]

use fabric::Token;
use model::Model;
use remote::{Address, Coherent, Former, RemoteOptions, RemoteVfs, ServeOptions};
use std::future::pending;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use suites::Rules;
use tempfile::TempDir;
use tokio::net::{TcpListener, UnixListener};
use tokio::runtime::Runtime;
use types::{ByteRange, Cred, Delegation, FileId, FsError, Leased, Mode, Name, SetAttr, SetTime, Time};
use vfs::*;

/// As it is long after the daemon's start.
fn coherent(model: &Arc<Model>) -> Arc<Coherent<Model>> {
    Arc::new(Coherent::new(model.clone(), Instant::now() - Duration::from_secs(5)))
}

/// A daemon that serves the reference from a runtime of its own, so that nothing of it outlives its death.
struct Daemon {
    model: Arc<Model>,
    path: PathBuf,
    running: Option<Runtime>,
    life: u64,
    lease: Duration,
    _dir: TempDir,
}

impl Daemon {
    fn start() -> Daemon {
        Daemon::with_lease(Duration::from_secs(60))
    }

    fn with_lease(lease: Duration) -> Daemon {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("socket");
        let model = Arc::new(Model::new().losing_unstable_writes());
        let mut daemon = Daemon { model, path, running: None, life: 0, lease, _dir: dir };
        daemon.live();
        daemon
    }

    fn live(&mut self) {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let _ = std::fs::remove_file(&self.path);
        self.life += 1;
        let listener = {
            let _entered = runtime.enter();
            UnixListener::bind(&self.path).unwrap()
        };
        let options = ServeOptions { instance: self.life, client_lease: self.lease };
        runtime.spawn(remote::serve_unix(coherent(&self.model), listener, options, pending()));
        self.running = Some(runtime);
    }

    fn die(&mut self) {
        // Returns when no thread of it runs any more.
        self.running.take().unwrap().shutdown_timeout(Duration::from_secs(10));
        self.model.restart();
    }

    async fn die_and_live(mut self, vfs: &RemoteVfs) -> Daemon {
        let daemon = tokio::task::spawn_blocking(move || {
            self.die();
            self.live();
            self
        })
        .await
        .unwrap();
        // Answered when everything has been claimed again.
        vfs.getattr(&ctx(), GetAttr { file: daemon.model.root() }).await.unwrap();
        daemon.model.end_grace();
        daemon
    }

    fn address(&self) -> Address {
        Address::At(fabric::Address::Unix(self.path.clone()))
    }

    async fn mount(&self, session: u128) -> RemoteVfs {
        RemoteVfs::connect(self.address(), RemoteOptions::new(session)).await.unwrap()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(runtime) = self.running.take() {
            runtime.shutdown_background();
        }
    }
}

fn ctx_of(client: u128) -> Ctx {
    Ctx { client: ClientId(client), ..ctx() }
}

fn ctx() -> Ctx {
    Ctx { client: ClientId(1), ..Ctx::new(Cred::root()) }
}

fn name(text: &str) -> Name {
    Name::new(text.to_owned()).unwrap()
}

const BOTH: OpenAccess = OpenAccess { read: true, write: true };

async fn create(vfs: &RemoteVfs, dir: FileId, text: &str) -> OpenReply {
    let target = OpenTarget::Entry { dir, name: name(text) };
    let create = Create { how: CreateHow::Guarded, mode: Mode(0o600), set: SetAttr::default() };
    let (deny, create) = (OpenAccess::default(), Some(create));
    let request =
        Open { target, access: BOTH, deny, create, truncate: false, reclaim: false, for_execution: false };
    vfs.open(&ctx(), request).await.unwrap()
}

async fn write(vfs: &RemoteVfs, opened: &OpenReply, offset: WriteOffset, data: &'static [u8]) -> WriteReply {
    let (file, open) = (opened.attr.file, Some(opened.open));
    let request = Write { file, open, offset, data: data.into(), durability: Durability::Unstable };
    vfs.write(&ctx(), request).await.unwrap()
}

async fn read(vfs: &RemoteVfs, opened: &OpenReply) -> Vec<u8> {
    let (file, open) = (opened.attr.file, Some(opened.open));
    vfs.read(&ctx(), Read { file, open, offset: 0, length: 1 << 20 }).await.unwrap().data.to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_suite_holds_over_a_unix_socket() {
    let daemon = Daemon::start();
    let vfs = daemon.mount(1).await;
    suites::run(&vfs, daemon.model.root()).await;
    let stage = Stage { near: daemon.model.root(), mode: Mode(0o600) };
    assert_eq!(vfs.stage(&ctx(), stage).await.unwrap_err(), FsError::NotSupported, "it is for heads");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_suite_holds_over_tcp() {
    let model = Arc::new(Model::new());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let token = Token::new([3; 32]);
    let options = ServeOptions { instance: 1, client_lease: Duration::from_secs(60) };
    let server =
        tokio::spawn(remote::serve_tcp(coherent(&model), listener, token.clone(), options, pending()));
    let vfs = RemoteVfs::connect(Address::At(fabric::Address::Tcp(address, token)), RemoteOptions::new(1))
        .await
        .unwrap();
    suites::run(&vfs, model.root()).await;
    server.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn random_steps_do_not_differ_while_the_daemon_dies_again_and_again() {
    for seed in 0..2 {
        let lives = Arc::new(AtomicU64::new(0));
        let mut daemon = Daemon::start();
        let vfs = Arc::new(daemon.mount(7).await);
        let reference = Model::new();
        let root = daemon.model.root();
        let killer = tokio::spawn({
            let (vfs, lives) = (vfs.clone(), lives.clone());
            async move {
                loop {
                    // Whenever, so as to meet requests at every stage.
                    tokio::time::sleep(Duration::from_millis(7)).await;
                    daemon = daemon.die_and_live(&vfs).await;
                    lives.store(daemon.life, Ordering::Relaxed);
                }
            }
        });
        let rules = Rules { changes_together: false };
        suites::compare_by((&reference, reference.root()), (&*vfs, root), seed, 1500, rules).await;
        killer.abort();
        let lives = lives.load(Ordering::Relaxed);
        assert!(lives > 10, "{lives} lives are too few to mean anything");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_survives_the_daemon() {
    let daemon = Daemon::start();
    let vfs = daemon.mount(1).await;
    let root = daemon.model.root();
    let opened = create(&vfs, root, "f").await;
    write(&vfs, &opened, WriteOffset::At(0), b"hello world").await;
    let appended = write(&vfs, &opened, WriteOffset::End, b"!").await;
    assert_eq!(appended.offset, 11);
    let cut = SetAttr { size: Some(9), ..SetAttr::default() };
    let file = opened.attr.file;
    vfs.setattr(&ctx(), SetAttrOf { file, open: None, set: cut, if_ctime: None }).await.unwrap();
    let mtime = Time { seconds: 77, nanoseconds: 5 };
    let set = SetAttr { mtime: Some(SetTime::At(mtime)), ..SetAttr::default() };
    vfs.setattr(&ctx(), SetAttrOf { file, open: None, set, if_ctime: None }).await.unwrap();
    // An orphan lives on through its open.
    vfs.unlink(&ctx(), Unlink { dir: root, name: name("f") }).await.unwrap();

    let daemon = daemon.die_and_live(&vfs).await;
    assert_eq!(read(&vfs, &opened).await, b"hello wor", "cut bytes do not come back");
    assert_eq!(vfs.getattr(&ctx(), GetAttr { file }).await.unwrap().attr.mtime, mtime);
    let committed = vfs.commit(&ctx(), Commit { file, range: ByteRange::new(0, 5) }).await.unwrap();
    let after = write(&vfs, &opened, WriteOffset::End, b"?").await;
    assert_eq!(after.verifier, committed.verifier);
    let daemon = daemon.die_and_live(&vfs).await;
    assert_eq!(read(&vfs, &opened).await, b"hello wor?");
    vfs.close(&ctx(), Close { open: opened.open }).await.unwrap();
    let gone = vfs.getattr(&ctx(), GetAttr { file }).await;
    assert_eq!(gone.unwrap_err(), FsError::Stale, "the orphan went with its last open");
    drop(daemon);
}

#[tokio::test(flavor = "multi_thread")]
async fn locks_are_claimed_before_others_can_take_them() {
    let daemon = Daemon::start();
    let (one, two) = (daemon.mount(1).await, Arc::new(daemon.mount(2).await));
    let opened = create(&one, daemon.model.root(), "f").await;
    let file = opened.attr.file;
    let lock = |client, kind, wait| Lock {
        file,
        open: None,
        owner: LockOwner { client: ClientId(client), owner: 1 },
        space: LockSpace::Range,
        range: ByteRange { offset: 0, end: 10 },
        kind,
        wait,
        reclaim: false,
    };
    one.lock(&ctx(), lock(1, LockKind::Exclusive, false)).await.unwrap();
    let waiter = tokio::spawn({
        let (two, lock) = (two.clone(), lock(2, LockKind::Exclusive, true));
        async move { two.lock(&ctx(), lock).await }
    });
    let daemon = daemon.die_and_live(&one).await;
    let refused = two.lock(&ctx(), lock(2, LockKind::Shared, false)).await;
    assert_eq!(refused.unwrap_err(), FsError::LockConflict);
    one.lock(&ctx(), lock(1, LockKind::Unlock, false)).await.unwrap();
    waiter.await.unwrap().expect("who waited through the restart gets the lock");
    drop(daemon);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_mount_had_locked_that_vanished_is_free_after_its_lease() {
    let daemon = Daemon::with_lease(Duration::from_millis(500));
    let (one, two) = (daemon.mount(1).await, daemon.mount(2).await);
    let file = create(&one, daemon.model.root(), "f").await.attr.file;
    let lock = |client, wait| Lock {
        file,
        open: None,
        owner: LockOwner { client: ClientId(client), owner: 1 },
        space: LockSpace::Range,
        range: ByteRange { offset: 0, end: 10 },
        kind: LockKind::Exclusive,
        wait,
        reclaim: false,
    };
    one.lock(&ctx(), lock(1, false)).await.unwrap();
    // It says no farewell: its process was killed.
    drop(one);
    assert_eq!(two.lock(&ctx(), lock(2, false)).await.unwrap_err(), FsError::LockConflict);
    let ctx = ctx();
    let waiting = two.lock(&ctx, lock(2, true));
    tokio::time::timeout(Duration::from_secs(20), waiting).await.expect("the lease runs out").unwrap();
}

/// Unmounts when the test ends, however it does.
struct Mounted(fuse::Session);

impl Drop for Mounted {
    fn drop(&mut self) {
        if self.0.unmount().is_err() {
            let _ = self.0.detach();
        }
    }
}

async fn mount_at(daemon: &Daemon, at: &Path) -> (Arc<RemoteVfs>, Mounted) {
    let remote_options = RemoteOptions::new(99);
    let client = remote_options.client();
    let vfs = Arc::new(RemoteVfs::connect(daemon.address(), remote_options).await.unwrap());
    std::fs::create_dir(at).unwrap();
    let options = fuse::MountOptions { client, ..fuse::MountOptions::default() };
    let mount =
        fuse::Mount::new(vfs.clone(), daemon.model.root(), options, tokio::runtime::Handle::current());
    let at = at.to_owned();
    let session = tokio::task::spawn_blocking(move || mount.mount(&at).unwrap()).await.unwrap();
    (vfs, Mounted(session))
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_a_daemon_that_is_away_can_be_killed() {
    let mut daemon = Daemon::start();
    let scratch = TempDir::new().unwrap();
    let at = scratch.path().join("mount");
    let (_vfs, mounted) = mount_at(&daemon, &at).await;
    let worker = tokio::task::spawn_blocking(move || {
        std::fs::write(at.join("f"), "x").unwrap();
        daemon.die();
        let mut stuck = std::process::Command::new("stat").arg(at.join("f")).spawn().unwrap();
        // Until it waits for an answer in the kernel.
        let place = format!("/proc/{}/wchan", stuck.id());
        let begun = std::time::Instant::now();
        while !std::fs::read_to_string(&place).unwrap().contains("request_wait_answer") {
            assert!(begun.elapsed() < Duration::from_secs(10), "it must wait for the daemon");
            std::thread::yield_now();
        }
        stuck.kill().unwrap();
        assert!(!stuck.wait().unwrap().success());
        daemon.live();
        assert_eq!(std::fs::read(at.join("f")).unwrap(), b"x", "all others just go on");
        drop(mounted);
        daemon
    });
    // A process that cannot be killed would hold the test for ever.
    tokio::time::timeout(Duration::from_secs(60), worker).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_on_a_mount_do_not_notice_that_the_daemon_dies() {
    const SCRIPT: &str = r#"
        export GIT_CONFIG_GLOBAL="$LOCAL/gitconfig"
        git config --global user.email a@b; git config --global user.name ab
        git config --global safe.directory '*'; git config --global init.defaultBranch main
        git init -q $LOCAL/source; cd $LOCAL/source
        for i in $(seq 80); do mkdir -p d$((i % 7)); seq $i $((i * 13)) > d$((i % 7))/f$i; done
        git add .; git commit -qm one; cd "$AT"
        git clone -q $LOCAL/source clone; cd clone; git fsck --strict; git status --porcelain
        diff -r -x .git . $LOCAL/source; cd ..
        sqlite3 db 'create table t(a)'
        for w in 1 2; do (
            for i in $(seq 10); do sqlite3 -cmd '.timeout 60000' db "insert into t values($i)"; done
        ) & done; wait
        sqlite3 db 'select count(*) from t; pragma integrity_check'
        (for i in $(seq 200); do echo "line $i"; done) > lines; seq 200 | sed 's/^/line /' | cmp - lines
        for i in $(seq 100); do echo $i > f; test "$(cat f)" = $i; mv f g; done
    "#;
    let mut daemon = Daemon::start();
    let scratch = TempDir::new().unwrap();
    let (at, local) = (scratch.path().join("mount"), scratch.path().join("local"));
    std::fs::create_dir(&local).unwrap();
    let (vfs, mounted) = mount_at(&daemon, &at).await;
    let mut script = tokio::task::spawn_blocking(move || {
        let mut command = std::process::Command::new("sh");
        command.args(["-euc", SCRIPT]).env("LOCAL", &local).env("AT", &at).current_dir(&at);
        command.output().unwrap()
    });
    let output = loop {
        tokio::select! {
            output = &mut script => break output.unwrap(),
            () = tokio::time::sleep(Duration::from_millis(250)) => {}
        }
        daemon = daemon.die_and_live(&vfs).await;
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}\n{}", text(&output.stdout), text(&output.stderr));
    assert_eq!(text(&output.stdout).trim(), "20\nok");
    assert!(daemon.life > 5, "{} lives are too few to mean anything", daemon.life);
    tokio::task::spawn_blocking(move || drop(mounted)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn unstable_data_are_bounded() {
    let daemon = Daemon::start();
    let options = RemoteOptions { retained_bytes: 100_000, ..RemoteOptions::new(1) };
    let vfs = RemoteVfs::connect(daemon.address(), options).await.unwrap();
    let opened = create(&vfs, daemon.model.root(), "f").await;
    static DATA: [u8; 60_000] = [1; 60_000];
    for round in 0..20 {
        write(&vfs, &opened, WriteOffset::At(round * 60_000), &DATA).await;
    }
    let daemon = daemon.die_and_live(&vfs).await;
    let size = vfs.getattr(&ctx(), GetAttr { file: opened.attr.file }).await.unwrap().attr.size;
    assert_eq!(size, 1_200_000);
    assert!(read(&vfs, &opened).await.iter().all(|byte| *byte == 1));
    vfs.flush().await.unwrap();
    drop(daemon);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mount_that_comes_too_late_keeps_its_opens_and_hears_of_its_locks() {
    let mut daemon = Daemon::start();
    let vfs = daemon.mount(1).await;
    let root = daemon.model.root();
    let (free, locked) = (create(&vfs, root, "free").await, create(&vfs, root, "locked").await);
    let lock = Lock {
        file: locked.attr.file,
        open: Some(locked.open),
        owner: LockOwner { client: ClientId(1), owner: 1 },
        space: LockSpace::Range,
        range: ByteRange { offset: 0, end: 10 },
        kind: LockKind::Exclusive,
        wait: false,
        reclaim: false,
    };
    vfs.lock(&ctx(), lock.clone()).await.unwrap();
    for opened in [&free, &locked] {
        write(&vfs, opened, WriteOffset::At(0), b"x").await;
    }
    vfs.flush().await.unwrap();
    let daemon = tokio::task::spawn_blocking(move || {
        daemon.die();
        daemon.model.end_grace();
        daemon.live();
        daemon
    })
    .await
    .unwrap();
    assert_eq!(read(&vfs, &free).await, b"x");
    let request = Read { file: locked.attr.file, open: Some(locked.open), offset: 0, length: 1 };
    assert_eq!(
        vfs.read(&ctx(), request).await.unwrap_err(),
        FsError::Io,
        "somebody may have locked it meanwhile"
    );
    vfs.lock(&ctx(), Lock { open: None, ..lock }).await.expect("it is free by now");
    drop(daemon);
}

#[tokio::test]
async fn a_new_life_waits_only_for_what_a_former_one_has_let_trust() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("trusted");
    let life = || {
        let coherent = Coherent::new(Arc::new(Model::new()), Instant::now());
        coherent.after(Former::open(path.clone()).unwrap())
    };
    let first_change = async |life: &Coherent<Model>| {
        let (begun, dir) = (Instant::now(), Model::new().root());
        let name = Name::new("d".to_owned()).unwrap();
        life.mkdir(&ctx(), Mkdir { dir, name, mode: Mode(0o755), set: SetAttr::default() }).await.unwrap();
        begun.elapsed()
    };
    assert!(first_change(&life()).await < Duration::from_millis(500));
    std::fs::File::create(&path).unwrap();
    let after_a_crash = life();
    assert!(first_change(&after_a_crash).await > Duration::from_millis(500));
    after_a_crash.close().await;
    assert!(!path.exists());
    assert!(first_change(&life()).await < Duration::from_millis(500));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_trusts_is_told_before_others_change() {
    let daemon = Daemon::start();
    let (one, two) = (daemon.mount(1).await, daemon.mount(2).await);
    let file = create(&two, daemon.model.root(), "f").await.attr.file;
    let (tell, mut told) = tokio::sync::mpsc::channel::<(Leased, tokio::sync::oneshot::Sender<()>)>(8);
    one.listen(move |file| {
        let tell = tell.clone();
        async move {
            let (heard, is_heard) = tokio::sync::oneshot::channel();
            tell.send((file, heard)).await.unwrap();
            let _ = is_heard.await;
        }
    });
    // Until it listens, nothing is to be trusted.
    while one.getattr(&ctx_of(1), GetAttr { file }).await.unwrap().trust.is_zero() {}
    let name = |text: &str| Name::new(text.to_owned()).unwrap();
    let found = one.lookup(&ctx_of(1), Lookup { dir: daemon.model.root(), name: name("f") }).await.unwrap();
    assert!(found.trust > Duration::ZERO && found.trust <= Duration::from_secs(1));
    assert!(two.getattr(&ctx_of(2), GetAttr { file }).await.unwrap().trust.is_zero(), "it does not listen");

    let set_of = |file, mode| SetAttrOf {
        file,
        open: None,
        set: SetAttr { mode: Some(Mode(mode)), ..SetAttr::default() },
        if_ctime: None,
    };
    let set = |mode| set_of(file, mode);
    let begun = Instant::now();
    one.setattr(&ctx_of(1), set(0o600)).await.unwrap();
    assert!(told.try_recv().is_err(), "its own changes it knows");

    let two = Arc::new(two);
    let change = tokio::spawn({
        let (two, set) = (two.clone(), set(0o640));
        async move { two.setattr(&ctx_of(2), set).await.unwrap() }
    });
    let (changes, heard) = told.recv().await.unwrap();
    assert_eq!(changes, Leased::Attributes(file));
    let meanwhile = one.getattr(&ctx_of(1), GetAttr { file }).await.unwrap();
    assert_eq!(meanwhile.attr.mode, Mode(0o600), "nothing changes before it is heard");
    assert!(meanwhile.trust.is_zero(), "and what is heard meanwhile is not to be trusted");
    heard.send(()).unwrap();
    change.await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(2), "nobody waited for the end of the trust");

    let after = one.getattr(&ctx_of(1), GetAttr { file }).await.unwrap();
    assert!(after.attr.mode == Mode(0o640) && after.trust.is_zero(), "two use it while one changes it");

    // A name is told of by itself.
    let dir = daemon.model.root();
    let asked = Lookup { dir, name: name("f") };
    let found = one.lookup(&ctx_of(1), asked.clone()).await.unwrap();
    assert!(found.name_trust > Duration::ZERO && found.name_trust <= Duration::from_secs(1));
    let change = tokio::spawn({
        let two = two.clone();
        let (from_name, to_name, how) = (name("f"), name("g"), RenameHow::Replace);
        let rename = Rename { from_dir: dir, from_name, to_dir: dir, to_name, how };
        async move { two.rename(&ctx_of(2), rename).await.unwrap() }
    });
    let (changes, heard) = told.recv().await.unwrap();
    assert!(one.lookup(&ctx_of(1), asked.clone()).await.unwrap().name_trust.is_zero());
    assert_eq!(changes, Leased::Names(file));
    heard.send(()).unwrap();
    change.await.unwrap();
    let found = one.lookup(&ctx_of(1), Lookup { dir, name: name("g") }).await.unwrap();
    assert!(found.name_trust.is_zero(), "others are at work in the folder");

    // Who does not answer is not waited for longer than it trusts.
    let file = create(&two, dir, "h").await.attr.file;
    assert!(!one.getattr(&ctx_of(1), GetAttr { file }).await.unwrap().trust.is_zero());
    let begun = Instant::now();
    two.setattr(&ctx_of(2), set_of(file, 0o644)).await.unwrap();
    assert!(begun.elapsed() > Duration::from_secs(2), "it trusted still");
    drop((told, daemon));
}

#[tokio::test]
async fn what_a_mount_trusts_is_not_delegated_and_what_is_delegated_it_does_not_trust() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("socket");
    let model = Arc::new(Model::new());
    let files = coherent(&model);
    // A head whose clients have always written everything.
    files.answer_for_holders(Duration::from_secs(9), |asked| async move {
        assert_eq!(asked.what, HolderQuestion::IsUnchanged);
        true
    });
    let options = ServeOptions { instance: 1, client_lease: Duration::from_secs(60) };
    let listener = UnixListener::bind(&path).unwrap();
    let serving = tokio::spawn(remote::serve_unix(files.clone(), listener, options, pending()));
    let address = Address::At(fabric::Address::Unix(path));
    let mount = RemoteVfs::connect(address, RemoteOptions::new(1)).await.unwrap();
    mount.listen(|_| async {});
    let opened = create(&mount, model.root(), "f").await;
    mount.close(&ctx(), Close { open: opened.open }).await.unwrap();
    let file = opened.attr.file;
    let trust = async || mount.getattr(&ctx_of(1), GetAttr { file }).await.unwrap().trust;
    while trust().await.is_zero() {}

    let ask = |kind| Delegate { file, kind, reclaim: false };
    let write = ask(Delegation::Write);
    assert_eq!(files.delegate(&ctx_of(7), write).await, Err(NotDelegated::Contended));
    let read = files.delegate(&ctx_of(7), ask(Delegation::Read)).await.unwrap();
    assert!(!trust().await.is_zero(), "both read");
    files.give_back(read);
    let held = loop {
        // Until the mount trusts no more.
        match files.delegate(&ctx_of(7), write).await {
            Ok(held) => break held,
            Err(why) => assert_eq!(why, NotDelegated::Contended),
        }
        tokio::task::yield_now().await;
    };
    assert!(trust().await.is_zero(), "it is another's");
    files.give_back(held);
    assert!(!trust().await.is_zero());
    serving.abort();
}
