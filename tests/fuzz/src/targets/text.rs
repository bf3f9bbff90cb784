//! Texts that an administrator writes.

use config::{Config, Overrides, reference_page};
use identity::Accounts;
use serve::ClientRule;

pub(crate) fn config(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let _ = Config::from_text("plexus.toml", &text, &Overrides::default());
    let _ = text.trim().parse::<ClientRule>();
}

pub(crate) fn config_seeds() -> Vec<Vec<u8>> {
    let page = reference_page();
    let whole = "data = \"d\"\ndrives = 6\ndrive-size = \"64GiB\"\nprotection = \"4+2\"\n[nfs]\nlisten = \"127.0.0.1:1\"\n\
        lease = \"45s\"\n[[export]]\npath = \"/a\"\nfilesystem = \"default\"\nclients = [\"10.0.0.0/8\", \"::1\"]\n\
        squash = \"root\"\naccess = \"read-only\"\n";
    [whole, &page, "10.0.0.0/8", "fe80::/10"].map(|text| text.as_bytes().to_vec()).into()
}

/// `passwd`, a zero byte, `group`.
pub(crate) fn accounts(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (passwd, group) = text.split_once('\0').unwrap_or((&text, ""));
    let accounts = Accounts::parse(passwd, group);
    let _ = (accounts.groups_of(1000), accounts.uid("a"), accounts.gid("a"));
}

pub(crate) fn accounts_seeds() -> Vec<Vec<u8>> {
    let passwd = "root:x:0:0:root:/root:/bin/sh\na:x:1000:1000::/home/a:/bin/sh\n";
    vec![format!("{passwd}\0root:x:0:\na:x:1000:\nb:x:1001:a,root\n").into_bytes()]
}
