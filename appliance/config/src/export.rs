//! What NFS clients may mount, who may, and as whom.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// A path that clients may mount, and the rules for them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Export {
    /// The path as clients mount it, such as `/default`; absolute, without `.`, `..` or empty parts.
    pub path: String,
    /// The filesystem behind it.
    pub filesystem: String,
    /// Who may mount it; nobody when empty.
    pub clients: Vec<ClientRule>,
    /// Which users become the anonymous one.
    pub squash: Squash,
    /// Whether clients may write.
    pub access: ExportAccess,
}

impl Export {
    /// The export of the filesystem `default` that a daemon has unless its configuration names the
    /// path `/default` itself: to this machine only, nobody squashed.
    #[must_use]
    pub fn default_filesystem() -> Export {
        Export {
            path: "/default".to_owned(),
            filesystem: "default".to_owned(),
            clients: ClientRule::loopback(),
            squash: Squash::None,
            access: ExportAccess::ReadWrite,
        }
    }

    /// Whether a client at this address may mount.
    #[must_use]
    pub fn admits(&self, address: IpAddr) -> bool {
        self.clients.iter().any(|rule| rule.admits(address))
    }
}

/// Addresses that a rule speaks of.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ClientRule {
    /// Every address.
    Any,
    /// One address, or all that share its first `bits` bits.
    Net {
        /// The address.
        address: IpAddr,
        /// Length of the prefix: at most 32 or 128.
        bits: u8,
    },
}

impl ClientRule {
    /// This machine, by both protocols.
    #[must_use]
    pub fn loopback() -> Vec<ClientRule> {
        let net = |address, bits| ClientRule::Net { address, bits };
        vec![
            net(IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 0)), 8),
            net(IpAddr::V6(std::net::Ipv6Addr::LOCALHOST), 128),
        ]
    }

    /// Whether the rule speaks of this address; an IPv4 address inside IPv6 counts as IPv4.
    #[must_use]
    pub fn admits(&self, address: IpAddr) -> bool {
        let ClientRule::Net { address: net, bits } = *self else { return true };
        match (net.to_canonical(), address.to_canonical()) {
            (IpAddr::V4(net), IpAddr::V4(address)) => {
                u32::from(net).checked_shr(32 - u32::from(bits))
                    == u32::from(address).checked_shr(32 - u32::from(bits))
            }
            (IpAddr::V6(net), IpAddr::V6(address)) => {
                u128::from(net).checked_shr(128 - u32::from(bits))
                    == u128::from(address).checked_shr(128 - u32::from(bits))
            }
            _ => false,
        }
    }
}

impl FromStr for ClientRule {
    type Err = ();

    fn from_str(text: &str) -> Result<ClientRule, ()> {
        if text == "*" {
            return Ok(ClientRule::Any);
        }
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| ())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            None => most,
            Some(bits) if !bits.is_empty() && bits.bytes().all(|b| b.is_ascii_digit()) => {
                bits.parse().map_err(|_| ())?
            }
            Some(_) => return Err(()),
        };
        // A mapped IPv4 network would be compared as IPv4 with a prefix of IPv6.
        if bits > most || address.to_canonical() != address {
            return Err(());
        }
        Ok(ClientRule::Net { address, bits })
    }
}

impl fmt::Display for ClientRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ClientRule::Any => f.write_str("*"),
            ClientRule::Net { address, bits } => {
                let most = if address.is_ipv4() { 32 } else { 128 };
                if *bits == most { write!(f, "{address}") } else { write!(f, "{address}/{bits}") }
            }
        }
    }
}

/// Which users of a client become the anonymous one (uid and gid 65,534).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Squash {
    /// None: clients are believed.
    None,
    /// The superuser.
    Root,
    /// All.
    All,
}

impl Squash {
    /// As the configuration writes them.
    pub const NAMES: [(&'static str, Squash); 3] =
        [("none", Squash::None), ("root", Squash::Root), ("all", Squash::All)];
}

/// What clients of an export may do.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ExportAccess {
    /// Read and write.
    ReadWrite,
    /// Read.
    ReadOnly,
}

impl ExportAccess {
    /// As the configuration writes them.
    pub const NAMES: [(&'static str, ExportAccess); 2] =
        [("rw", ExportAccess::ReadWrite), ("ro", ExportAccess::ReadOnly)];
}

/// The name of `value` in a list like [`Squash::NAMES`].
pub(crate) fn name_of<T: Copy + PartialEq>(names: &[(&'static str, T)], value: T) -> &'static str {
    names.iter().find(|(_, other)| *other == value).map_or("?", |(name, _)| name)
}

impl fmt::Display for Squash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(name_of(&Squash::NAMES, *self))
    }
}

impl fmt::Display for ExportAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(name_of(&ExportAccess::NAMES, *self))
    }
}

/// Whether `path` can be a mount path: absolute, not the root, no `.`, `..`, empty or overlong part.
pub(crate) fn is_mount_path(path: &str) -> bool {
    let Some(rest) = path.strip_prefix('/') else { return false };
    let part = |part: &str| {
        !part.is_empty() && part != "." && part != ".." && part.len() <= types::limits::NAME_BYTES_MAX
    };
    path.len() <= 1024 && !path.contains(|c: char| c.is_control()) && rest.split('/').all(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admits(rule: &str, address: &str) -> bool {
        let rule: ClientRule = rule.parse().expect(rule);
        rule.admits(address.parse().expect(address))
    }

    #[test]
    fn rules_admit_whom_they_name_and_nobody_else() {
        assert!(admits("*", "8.8.8.8") && admits("*", "::1"));
        assert!(admits("10.1.0.0/16", "10.1.255.3") && !admits("10.1.0.0/16", "10.2.0.0"));
        assert!(admits("10.1.2.3", "10.1.2.3") && !admits("10.1.2.3", "10.1.2.2"));
        assert!(admits("10.1.2.3", "::ffff:10.1.2.3"));
        assert!(admits("0.0.0.0/0", "200.1.1.1") && !admits("0.0.0.0/0", "2001:db8::1"));
        assert!(admits("2001:db8::/32", "2001:db8:1::1") && !admits("2001:db8::/32", "2001:db9::1"));
        assert!(admits("::/0", "2001:db9::1"));
    }

    #[test]
    fn what_is_no_rule_is_refused() {
        for text in [
            "",
            "localhost",
            "10.0.0.0/33",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "::1/129",
            "1.2.3",
            "::ffff:1.2.3.4/96",
        ] {
            assert_eq!(text.parse::<ClientRule>(), Err(()), "{text}");
        }
    }

    #[test]
    fn mount_paths_are_plain() {
        assert!(is_mount_path("/default") && is_mount_path("/a/b"));
        for path in ["", "/", "a", "/a/", "/a//b", "/./a", "/a/..", "/a\n"] {
            assert!(!is_mount_path(path), "{path:?}");
        }
    }
}
