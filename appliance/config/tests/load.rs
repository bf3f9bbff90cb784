//! Good files are read; of bad ones the first fault is named in one line with its place.

use config::{Config, Overrides, Protection, Size};
use proptest::prelude::*;
use serve::{ExportAccess, Squash};

fn load(text: &str) -> Result<Config, String> {
    Config::from_text("plexus.toml", text, &Overrides::default()).map_err(|err| err.to_string())
}

fn flags(pairs: &[(&'static str, &str)]) -> Result<Config, String> {
    let pairs = pairs.iter().map(|(flag, text)| (*flag, (*text).to_owned())).collect();
    Config::from_text("plexus.toml", "drives = 6\n", &Overrides(pairs)).map_err(|err| err.to_string())
}

#[test]
fn nothing_said_gives_the_defaults() {
    let config = load("").unwrap();
    assert_eq!(config, Config::default());
    assert_eq!(config.nfs_listen.to_string(), "127.0.0.1:12049");
    assert_eq!(config.admin_listen.to_string(), "127.0.0.1:8420");
    let [export] = &config.exports[..] else { panic!("{:?}", config.exports) };
    assert_eq!((export.path.as_str(), export.filesystem.as_str()), ("/default", "default"));
    assert_eq!((export.squash, export.access), (Squash::None, ExportAccess::ReadWrite));
    assert!(export.shows_to("127.0.0.1".parse().unwrap()) && export.shows_to("::1".parse().unwrap()));
    assert!(!export.shows_to("10.0.0.1".parse().unwrap()));
}

#[test]
fn the_command_line_wins_over_the_file() {
    let config =
        flags(&[("drives", "7"), ("drive-size", "1G"), ("protection", "4+2"), ("data", "/d")]).unwrap();
    assert_eq!((config.drives, config.drive_size), (7, Size(1 << 30)));
    assert_eq!(config.protection, Protection { data: 4, parity: 2 });
    assert_eq!(config.data.to_str(), Some("/d"));
}

#[test]
fn other_exports_squash_root_and_stand_beside_the_default_one() {
    let config =
        load("[[export]]\npath = \"/p\"\nfilesystem = \"projects\"\nclients = [\"10.0.0.0/8\"]\n").unwrap();
    assert_eq!(
        config.exports.iter().map(|export| export.path.as_str()).collect::<Vec<_>>(),
        ["/default", "/p"]
    );
    assert_eq!(config.exports[1].squash, Squash::Root);
    let closed = "[[export]]\npath = \"/default\"\nfilesystem = \"default\"\nclients = []\n";
    let config = load(closed).unwrap();
    assert_eq!(config.exports.len(), 1);
    assert!(!config.exports[0].shows_to("127.0.0.1".parse().unwrap()));
}

#[test]
fn a_lease_alone_moves_the_grace() {
    let config = load("[nfs]\nlease = 120\n").unwrap();
    assert_eq!(config.nfs_grace.as_secs(), 120);
}

#[test]
fn each_fault_is_one_line_with_place_and_what_fits() {
    let cases = [
        (
            "[nfs]\nlisen = 1\n",
            "plexus.toml:2: there is no option `nfs.lisen`; there are nfs.listen, nfs.lease, nfs.grace",
        ),
        (
            "drives = \"six\"\n",
            "plexus.toml:1: `drives` is \"six\", but must be a number from 1 to 256 (drives)",
        ),
        ("drives = 0\n", "plexus.toml:1: `drives` is 0, but must be a number from 1 to 256 (drives)"),
        (
            "drives = 99999999999999999999\n",
            "plexus.toml:1: `drives` is a number beyond 64 bits, but must be",
        ),
        (
            "\n\ndrive_size = \"8X\"\n",
            "plexus.toml:3: `drive_size` is \"8X\", but must be a size from 64M to 256T",
        ),
        ("drive_size = 4096\n", "plexus.toml:1: `drive_size` is 4096, but must be a size from 64M"),
        ("drive_size = true\n", "plexus.toml:1: `drive_size` is a boolean, but must be a size"),
        (
            "[nfs]\nlease = 1\n",
            "plexus.toml:2: `nfs.lease` is 1, but must be a number from 2 to 3600 (seconds)",
        ),
        (
            "[nfs]\nlisten = \"localhost\"\n",
            "plexus.toml:2: `nfs.listen` is \"localhost\", but must be an address and a port",
        ),
        (
            "[nfs]\nlease = 60\ngrace = 30\n",
            "plexus.toml: `nfs.grace` is 30 and must not be less than `nfs.lease`, which is 60",
        ),
        ("nfs = 3\n", "plexus.toml:1: there is no option `nfs`; there are data, drives"),
        ("[data]\nx = 1\n", "plexus.toml:1: there is no option `data`; there are data"),
        ("[nfs.listen]\nx = 1\n", "plexus.toml:1: `nfs.listen` is a table, but must be"),
        (
            "protection = \"4+2\"\n",
            "plexus.toml:1: protection 4+2 needs 6 drives, and `drives` is 1; with 1 fit at most: none",
        ),
        (
            "drives = 5\nprotection = \"4+2\"\n",
            "plexus.toml:2: protection 4+2 needs 6 drives, and `drives` is 5; with 5 fit at most: 5+0, 4+1, 3+2",
        ),
        ("protection = \"4+3\"\n", "plexus.toml:1: `protection` is \"4+3\", but must be \"none\" or D+P"),
        ("[[s3.webhook]]\nname = \"a\"\n", "plexus.toml:1: an [[s3.webhook]] must have `url`"),
        ("[[s3.webhook]]\nname = \"a b\"\n", "plexus.toml:2: `name` is \"a b\", but must be 1 to 64"),
        ("[[s3.webhook]]\nurl = \"ftp://h/\"\n", "plexus.toml:2: `url` is \"ftp://h/\", but must be a URL"),
        ("[s3]\nwebhook = \"a\"\n", "plexus.toml:2: `webhook` must be written as [[s3.webhook]]"),
        ("[[export]]\npath = \"/a\"\n", "plexus.toml:1: an [[export]] must have `filesystem`"),
        ("[[export]]\npath = \"a\"\n", "plexus.toml:2: `path` is \"a\", but must be an absolute path"),
        (
            "[[export]]\npath = \"/a\"\nfilesystem = \"a/b\"\n",
            "plexus.toml:3: `filesystem` is \"a/b\", but must be a name",
        ),
        (
            "[[export]]\npath = \"/a\"\nclients = \"*\"\n",
            "plexus.toml:3: `clients` is \"*\", but must be a list",
        ),
        (
            "[[export]]\npath = \"/a\"\nclients = [\"host\"]\n",
            "plexus.toml:3: `clients` is a list of 1, but must be a list such as",
        ),
        (
            "[[export]]\npath = \"/a\"\nsquash = \"no\"\n",
            "plexus.toml:3: `squash` is \"no\", but must be \"none\", \"root\" or \"all\"",
        ),
        (
            "[[export]]\npath = \"/a\"\nfilesystem = \"a\"\n[[export]]\npath = \"/a\"\nfilesystem = \"b\"\n",
            "plexus.toml:4: /a is exported twice",
        ),
        ("[export]\npath = \"/a\"\n", "plexus.toml:1: `export` must be written as [[export]]"),
        ("drives = \n", "plexus.toml:1: is not TOML here:"),
        ("drives = 1\ndrives = 2\n", "plexus.toml:2: is not TOML here: duplicate key"),
        (
            "[admin]\nlisten = \"127.0.0.1:12049\"\n",
            "plexus.toml: `nfs.listen` and `admin.listen` are both 127.0.0.1:12049",
        ),
        (
            "[memory]\ndirty = \"1G\"\n",
            "plexus.toml: `memory.dirty` is 1G and must not be more than `memory.cache`",
        ),
    ];
    for (text, expected) in cases {
        let message = load(text).expect_err(text);
        assert!(message.starts_with(expected), "{text:?}\n  said {message}\n  not  {expected}");
        assert_eq!(message.lines().count(), 1, "{message}");
    }
    assert_eq!(
        flags(&[("drives", "many")]),
        Err("--drives: `drives` is \"many\", but must be a number from 1 to 256 (drives)".to_owned())
    );
    assert_eq!(
        flags(&[("protection", "8+2")]),
        Err("--protection: protection 8+2 needs 10 drives, and `drives` is 6; with 6 fit at most: 6+0, 5+1, 4+2".to_owned())
    );
}

#[test]
fn a_file_that_is_missing_or_huge_or_not_text_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c.toml");
    let load = || Config::load(Some(&path), &Overrides::default()).unwrap_err();
    assert!(load().to_string().contains("c.toml: cannot be read"));
    std::fs::write(&path, [0xff, 0xfe]).unwrap();
    assert!(load().to_string().contains("c.toml: cannot be read"));
    std::fs::write(&path, vec![b'#'; (1 << 20) + 1]).unwrap();
    assert!(load().to_string().contains("over 1 MiB"));
}

proptest! {
    #[test]
    fn no_text_panics(text in "[a-z\\[\\]=\"{}., \n0-9+_-]{0,200}|.{0,100}") {
        if let Err(message) = load(&text) {
            prop_assert_eq!(message.lines().count(), 1, "{:?} said {:?}", text, message);
        }
    }

    #[test]
    fn no_damaged_file_panics(cut in 0usize..400, byte in any::<u8>()) {
        let mut bytes = config::describe(&Config::default()).into_bytes();
        let at = cut % bytes.len();
        bytes[at] = byte;
        if let Err(message) = load(&String::from_utf8_lossy(&bytes)) {
            prop_assert_eq!(message.lines().count(), 1);
        }
    }
}
