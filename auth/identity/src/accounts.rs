//! Users, groups and memberships out of the texts of passwd(5) and group(5).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use types::limits::GROUPS_MAX;

/// All accounts of one reading. Lines that are not accounts are left out.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Accounts {
    users: BTreeMap<String, u32>,
    groups: BTreeMap<String, u32>,
    user_names: BTreeMap<u32, String>,
    group_names: BTreeMap<u32, String>,
    primary: BTreeMap<u32, u32>,
    memberships: BTreeMap<u32, Arc<[u32]>>,
}

impl Accounts {
    /// Reads the texts; of lines with the same name or number the first counts, as in the C library.
    #[must_use]
    pub fn parse(passwd: &str, group: &str) -> Accounts {
        let mut accounts = Accounts::default();
        let mut members: BTreeMap<u32, BTreeSet<u32>> = BTreeMap::new();
        for line in passwd.lines() {
            let mut fields = line.split(':');
            let (name, uid, gid) = (fields.next(), fields.nth(1), fields.next());
            let (Some(name), Some(uid), Some(gid)) = (plain(name), number(uid), number(gid)) else {
                continue;
            };
            if accounts.users.contains_key(name) {
                continue;
            }
            accounts.users.insert(name.to_owned(), uid);
            accounts.user_names.entry(uid).or_insert_with(|| name.to_owned());
            accounts.primary.entry(uid).or_insert(gid);
            members.entry(uid).or_default().insert(gid);
        }
        for line in group.lines() {
            let mut fields = line.split(':');
            let (name, gid, names) = (fields.next(), fields.nth(1), fields.next());
            let (Some(name), Some(gid)) = (plain(name), number(gid)) else { continue };
            accounts.groups.entry(name.to_owned()).or_insert(gid);
            accounts.group_names.entry(gid).or_insert_with(|| name.to_owned());
            for member in names.unwrap_or_default().split(',') {
                if let Some(uid) = accounts.users.get(member.trim()) {
                    members.entry(*uid).or_default().insert(gid);
                }
            }
        }
        accounts.memberships = members
            .into_iter()
            .map(|(uid, groups)| (uid, groups.into_iter().take(GROUPS_MAX).collect()))
            .collect();
        accounts
    }

    /// The groups of a user, the primary one among them, ascending; `None` for an unknown user.
    #[must_use]
    pub fn groups_of(&self, uid: u32) -> Option<Arc<[u32]>> {
        self.memberships.get(&uid).cloned()
    }

    /// The primary group of a user; `None` for an unknown one.
    #[must_use]
    pub fn primary_gid(&self, uid: u32) -> Option<u32> {
        self.primary.get(&uid).copied()
    }

    /// The number of a user.
    #[must_use]
    pub fn uid(&self, name: &str) -> Option<u32> {
        self.users.get(name).copied()
    }

    /// The number of a group.
    #[must_use]
    pub fn gid(&self, name: &str) -> Option<u32> {
        self.groups.get(name).copied()
    }

    /// The name of a user.
    #[must_use]
    pub fn user_name(&self, uid: u32) -> Option<&str> {
        self.user_names.get(&uid).map(String::as_str)
    }

    /// The name of a group.
    #[must_use]
    pub fn group_name(&self, gid: u32) -> Option<&str> {
        self.group_names.get(&gid).map(String::as_str)
    }
}

/// A name; lines of NIS (`+`, `-`) and comments are none.
fn plain(name: Option<&str>) -> Option<&str> {
    name.map(str::trim).filter(|name| !name.is_empty() && !name.starts_with(['+', '-', '#']))
}

fn number(text: Option<&str>) -> Option<u32> {
    text?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nann:x:1000:100::/home/ann:/bin/sh\n\
                          # comment\n+nis::::::\nbroken:x:12\nbob:x:no:1::/:\nann:x:7:7::/:\n\
                          twin:x:1000:101::/:\n";
    const GROUP: &str = "root:x:0:\nusers:x:100:\nwheel:x:10:ann, root\nstaff:x:50:ghost,ann\n:x:3:ann\n\
                         old:x:51:twin\nnone\n";

    #[test]
    fn memberships_are_gathered_over_both_files() {
        let accounts = Accounts::parse(PASSWD, GROUP);
        assert_eq!(accounts.groups_of(1000).as_deref(), Some(&[10, 50, 51, 100, 101][..]));
        assert_eq!(accounts.groups_of(0).as_deref(), Some(&[0, 10][..]));
        assert_eq!(accounts.groups_of(7), None, "the second line of a name does not count");
        assert_eq!(accounts.uid("ann"), Some(1000));
        assert_eq!((accounts.primary_gid(1000), accounts.primary_gid(7)), (Some(100), None));
        assert_eq!(accounts.user_name(1000), Some("ann"));
        assert_eq!((accounts.gid("staff"), accounts.group_name(50)), (Some(50), Some("staff")));
        assert_eq!((accounts.uid("broken"), accounts.uid("bob"), accounts.gid("")), (None, None, None));
    }

    #[test]
    fn a_user_has_no_more_groups_than_the_limit() {
        let group: String = (0..70_000).map(|gid| format!("g{gid}:x:{gid}:ann\n")).collect();
        let accounts = Accounts::parse("ann:x:1:0::/:\n", &group);
        assert_eq!(accounts.groups_of(1).map(|groups| groups.len()), Some(GROUPS_MAX));
    }
}
