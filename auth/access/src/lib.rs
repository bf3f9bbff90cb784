//! The one decision about who may do what; pure, so that every head and every test gets the same answer.

#![forbid(unsafe_code)]

use types::{AccessMask, Cred, FileKind, Mode};

/// The setuid bit of a mode.
pub const SETUID: u16 = 0o4000;
/// The setgid bit of a mode.
pub const SETGID: u16 = 0o2000;
/// The sticky bit of a mode.
pub const STICKY: u16 = 0o1000;
/// Execution by the group.
const GROUP_EXECUTE: u16 = 0o010;

/// Which rights of `mask` the caller has on an inode with this owner, group, mode and kind.
///
/// POSIX.1-2017 4.5: exactly one class (owner, group, others) is asked. The superuser reads and writes
/// everything, searches every directory, and executes a file that anybody may execute.
#[must_use]
pub fn decide(cred: &Cred, uid: u32, gid: u32, mode: Mode, kind: FileKind, mask: AccessMask) -> AccessMask {
    let granted = if cred.uid == 0 {
        let execute = kind == FileKind::Directory || mode.0 & 0o111 != 0;
        if execute { AccessMask::ALL } else { AccessMask::READ.union(AccessMask::WRITE) }
    } else if cred.uid == uid {
        class(mode.0 >> 6)
    } else if cred.in_group(gid) {
        class(mode.0 >> 3)
    } else {
        class(mode.0)
    };
    granted.intersection(mask)
}

/// Whether the caller has every right of `mask`.
#[must_use]
pub fn allowed(cred: &Cred, uid: u32, gid: u32, mode: Mode, kind: FileKind, mask: AccessMask) -> bool {
    decide(cred, uid, gid, mode, kind, mask) == mask
}

/// Whether the caller may do what only the owner or the superuser may (chmod, utimes, xattrs).
#[must_use]
pub fn owns(cred: &Cred, uid: u32) -> bool {
    cred.uid == 0 || cred.uid == uid
}

/// Whether a sticky directory lets the caller remove or rename an entry: it owns the directory or the
/// inode, or is the superuser. True for every directory without the sticky bit.
#[must_use]
pub fn sticky_allows(cred: &Cred, dir_mode: Mode, dir_uid: u32, inode_uid: u32) -> bool {
    dir_mode.0 & STICKY == 0 || owns(cred, dir_uid) || owns(cred, inode_uid)
}

/// Group and mode of a new inode: a setgid directory gives its group, and to directories the bit itself.
/// A caller outside the group that it gets cannot make a setgid program of a new file.
#[must_use]
pub fn inherit(cred: &Cred, dir_gid: u32, dir_mode: Mode, kind: FileKind, asked: Mode) -> (u32, Mode) {
    if dir_mode.0 & SETGID == 0 {
        return (cred.gid, asked);
    }
    let mode = match kind {
        FileKind::Directory => Mode(asked.0 | SETGID),
        FileKind::File if asked.0 & GROUP_EXECUTE != 0 && cred.uid != 0 && !cred.in_group(dir_gid) => {
            Mode(asked.0 & !SETGID)
        }
        _ => asked,
    };
    (dir_gid, mode)
}

/// The mode that chmod leaves: somebody who is neither in the inode's group nor the superuser loses the
/// setgid bit (POSIX.1-2017 chmod names regular files; directories too, as on Linux).
#[must_use]
pub fn chmod(cred: &Cred, gid: u32, asked: Mode) -> Mode {
    let keeps = cred.uid == 0 || cred.in_group(gid);
    Mode(if keeps { asked.0 } else { asked.0 & !SETGID } & 0o7777)
}

/// The mode that a change of owner, size or content by the caller leaves: setuid falls, and setgid where
/// the group may execute (without that it means mandatory locking). Directories keep all; so does
/// the superuser's write, but not its chown, hence `by_root_too`.
#[must_use]
pub fn kill_privileges(cred: &Cred, kind: FileKind, mode: Mode, by_root_too: bool) -> Mode {
    if kind == FileKind::Directory || (cred.uid == 0 && !by_root_too) {
        return mode;
    }
    let mut bits = mode.0 & !SETUID;
    if bits & GROUP_EXECUTE != 0 {
        bits &= !SETGID;
    }
    Mode(bits)
}

const fn class(bits: u16) -> AccessMask {
    AccessMask((bits & 7) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    const FILE: FileKind = FileKind::File;
    const DIR: FileKind = FileKind::Directory;

    #[test]
    fn exactly_one_class_is_asked() {
        let owner = Cred::user(1, 9);
        let member = Cred { uid: 2, gid: 3, groups: Arc::from([7, 5]) };
        let other = Cred::user(4, 4);
        for mode in 0..0o1000u16 {
            let ask = |cred| decide(cred, 1, 5, Mode(mode), FILE, AccessMask::ALL).0;
            assert_eq!(u16::from(ask(&owner)), mode >> 6 & 7);
            assert_eq!(u16::from(ask(&member)), mode >> 3 & 7);
            assert_eq!(u16::from(ask(&other)), mode & 7);
        }
    }

    #[test]
    fn the_superuser_executes_only_what_somebody_may() {
        let root = Cred::root();
        assert_eq!(decide(&root, 1, 1, Mode(0), FILE, AccessMask::ALL), AccessMask(6));
        assert_eq!(decide(&root, 1, 1, Mode(0o001), FILE, AccessMask::ALL), AccessMask::ALL);
        assert_eq!(decide(&root, 1, 1, Mode(0), DIR, AccessMask::ALL), AccessMask::ALL);
        assert!(allowed(&root, 1, 1, Mode(0), FILE, AccessMask::WRITE));
        assert!(!allowed(&root, 1, 1, Mode(0), FILE, AccessMask::EXECUTE));
    }

    #[test]
    fn sticky_asks_for_the_directory_or_the_inode() {
        let me = Cred::user(1, 1);
        for (dir_mode, dir_uid, inode_uid, expected) in
            [(0o1777, 2, 2, false), (0o1777, 1, 2, true), (0o1777, 2, 1, true), (0o777, 2, 2, true)]
        {
            assert_eq!(sticky_allows(&me, Mode(dir_mode), dir_uid, inode_uid), expected);
        }
        assert!(sticky_allows(&Cred::root(), Mode(0o1777), 2, 2));
    }

    #[test]
    fn setgid_directories_hand_down_their_group() {
        let me = Cred::user(1, 10);
        assert_eq!(inherit(&me, 20, Mode(0o755), DIR, Mode(0o755)), (10, Mode(0o755)));
        assert_eq!(inherit(&me, 20, Mode(0o2755), DIR, Mode(0o755)), (20, Mode(0o2755)));
        assert_eq!(inherit(&me, 20, Mode(0o2755), FILE, Mode(0o2755)), (20, Mode(0o755)));
        assert_eq!(inherit(&me, 10, Mode(0o2755), FILE, Mode(0o2755)), (10, Mode(0o2755)));
    }

    #[test]
    fn privileges_fall_where_posix_says() {
        let me = Cred::user(1, 10);
        assert_eq!(chmod(&me, 20, Mode(0o2755)), Mode(0o755));
        assert_eq!(chmod(&me, 20, Mode(0o7755)), Mode(0o5755));
        assert_eq!(chmod(&me, 10, Mode(0o2755)), Mode(0o2755));
        assert_eq!(kill_privileges(&me, FILE, Mode(0o6755), false), Mode(0o755));
        assert_eq!(kill_privileges(&me, FILE, Mode(0o6745), false), Mode(0o2745));
        assert_eq!(kill_privileges(&Cred::root(), FILE, Mode(0o6755), false), Mode(0o6755));
        assert_eq!(kill_privileges(&Cred::root(), FILE, Mode(0o6755), true), Mode(0o755));
        assert_eq!(kill_privileges(&me, DIR, Mode(0o6755), true), Mode(0o6755));
    }
}
