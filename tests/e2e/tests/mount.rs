//! `plexus mount` as people and mount(8) use it, over the real daemon.

#![allow(clippy::unwrap_used, reason = "these are tests, helpers included")]

use e2e::{Daemon, DaemonOptions, program};
use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A daemon and a folder to mount at; nothing stays mounted.
struct Scene {
    // Before the daemon, so that nothing waits for it.
    at: PathBuf,
    daemon: Daemon,
    scratch: TempDir,
}

impl Scene {
    fn new() -> Scene {
        let scratch = TempDir::new().unwrap();
        let options =
            DaemonOptions { flags: vec!["--drive-size".into(), "64M".into()], ..DaemonOptions::default() };
        let daemon = Daemon::start(&scratch.path().join("daemon"), &options).unwrap();
        let at = scratch.path().join("mnt");
        fs::create_dir(&at).unwrap();
        Scene { at, daemon, scratch }
    }

    /// The line of `/proc/self/mounts`: type and options.
    fn mounted(&self) -> Option<(String, String)> {
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
        let line = mounts.lines().rfind(|line| line.split(' ').nth(1) == self.at.to_str())?;
        let mut fields = line.split(' ').skip(2).map(str::to_owned);
        Some((fields.next()?, fields.next()?))
    }

    /// The program under the name by which mount(8) calls it.
    fn helper(&self, arguments: &[&str]) -> Output {
        let helper = self.scratch.path().join("mount.plexus");
        if !helper.exists() {
            symlink(program("plexus").unwrap(), &helper).unwrap();
        }
        Command::new(helper).args(arguments).env_remove("PLEXUS_DATA").output().unwrap()
    }

    fn unmount(&self) {
        let status = Command::new("umount").arg(&self.at).status().unwrap();
        assert!(status.success());
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _ = Command::new("umount").args(["-q", "-l"]).arg(&self.at).status();
    }
}

fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}{}", text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_mount_in_the_background_holds_nobody_up_and_is_of_its_own_type() {
    let scene = Scene::new();
    let at = scene.at.to_str().unwrap();
    // Both streams are pipes that are read to their end: the mount must not hold them.
    let output = scene.daemon.plexus(&["mount", "default", at, "--background"]).unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let (kind, options) = scene.mounted().unwrap();
    assert_eq!(kind, "fuse.plexus");
    assert!(!options.contains("nosuid") && !options.contains("nodev"), "{options}");
    let null = scene.at.join("null");
    let made = Command::new("mknod").arg(&null).args(["c", "1", "3"]).status().unwrap();
    assert!(made.success());
    assert!(fs::metadata(&null).unwrap().file_type().is_char_device());
    assert_eq!(fs::read(&null).unwrap(), b"", "device nodes work where the superuser mounts");
    scene.unmount();
    assert!(scene.mounted().is_none());
}

#[test]
fn options_of_a_mount_are_the_kernels() {
    let scene = Scene::new();
    let at = scene.at.to_str().unwrap();
    let log = scene.scratch.path().join("log");
    let mount = ["mount", "default", at, "--background", "--log", log.to_str().unwrap()];
    let output = scene.daemon.plexus(&[&mount[..], &["-o", "noexec,nosuid,nodev"]].concat()).unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let (_, options) = scene.mounted().unwrap();
    for wanted in ["rw", "noexec", "nosuid", "nodev"] {
        assert!(options.split(',').any(|option| option == wanted), "{options}");
    }
    let script = scene.at.join("script");
    fs::write(&script, "#!/bin/sh\n").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    assert!(Command::new(&script).status().is_err());
    assert!(log.exists());
    scene.unmount();
    let output = scene.daemon.plexus(&["mount", "default", at, "-o", "sync"]).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("'sync'"), "{}", said(&output));
}

/// A mount without its daemon, detached, with a file's data on its hands.
fn orphaned(scene: &mut Scene, synced: bool) -> Child {
    let mut command = Command::new(program("plexus").unwrap());
    command.arg("--data").arg(scene.daemon.data()).args(["mount", "default"]).arg(&scene.at);
    let mount = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    within(Duration::from_secs(30), || scene.mounted());
    fs::write(scene.at.join("file"), "durable").unwrap();
    if synced {
        fs::File::open(scene.at.join("file")).unwrap().sync_all().unwrap();
    }
    scene.daemon.kill().unwrap();
    // umount(8) would look at the mount first, and wait for the daemon.
    rustix::mount::unmount(&scene.at, rustix::mount::UnmountFlags::DETACH).unwrap();
    mount
}

fn within<T>(time: Duration, mut told: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + time;
    loop {
        let now = told();
        if now.is_some() || Instant::now() > deadline {
            return now;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// How the mount ended, and what it said; it does not outlive the test.
fn end(mut mount: Child) -> (Option<ExitStatus>, String) {
    let ended = within(Duration::from_secs(30), || mount.try_wait().unwrap());
    if ended.is_none() {
        mount.kill().unwrap();
    }
    (ended, said(&mount.wait_with_output().unwrap()))
}

#[test]
fn a_mount_whose_daemon_is_gone_ends_when_it_is_unmounted() {
    let mut scene = Scene::new();
    let (ended, said) = end(orphaned(&mut scene, true));
    assert!(ended.is_some_and(|status| status.success()), "{ended:?} {said}");
}

#[test]
fn a_mount_with_data_on_its_hands_waits_for_the_daemon_until_it_is_told_not_to() {
    let mut scene = Scene::new();
    let mut mount = orphaned(&mut scene, false);
    assert_eq!(within(Duration::from_millis(1500), || mount.try_wait().unwrap()), None);
    rustix::process::kill_process(rustix::process::Pid::from_child(&mount), rustix::process::Signal::TERM)
        .unwrap();
    let (ended, said) = end(mount);
    assert_eq!(ended.and_then(|status| status.code()), Some(1), "{said}");
    assert!(said.contains("data were not written"), "{said}");
}

#[test]
fn a_mount_with_data_on_its_hands_does_not_wait_for_a_daemon_that_cannot_come_back() {
    let mut scene = Scene::new();
    let mount = orphaned(&mut scene, false);
    fs::remove_dir_all(scene.daemon.data()).unwrap();
    let (ended, said) = end(mount);
    assert_eq!(ended.and_then(|status| status.code()), Some(1), "{said}");
    assert!(said.contains("data were not written"), "{said}");
}

#[test]
fn mount_8_can_call_it() {
    let scene = Scene::new();
    let at = scene.at.to_str().unwrap();
    let data = format!("rw,_netdev,data={}", scene.daemon.data().display());
    let fake = scene.helper(&["plexus:default", at, "-f", "-o", &data]);
    assert!(fake.status.success() && scene.mounted().is_none(), "{}", said(&fake));
    let output = scene.helper(&["plexus:default", at, "-n", "-o", &format!("{data},ro")]);
    assert!(output.status.success(), "{}", said(&output));
    assert!(scene.mounted().unwrap().1.starts_with("ro"));
    assert!(fs::write(scene.at.join("f"), "x").is_err());
    scene.unmount();
    let none = scene.helper(&["nothing", at, "-o", &data]);
    assert_eq!(none.status.code(), Some(32), "{}", said(&none));
    assert!(said(&none).contains("nothing"), "{}", said(&none));
    let nobody = scene.helper(&["default", at, "-o", "data=/nowhere"]);
    assert_eq!(nobody.status.code(), Some(32), "{}", said(&nobody));
    assert!(Path::new(at).read_dir().unwrap().next().is_none());
}
