//! What clients may mount, who may, and as whom: the words of the configuration and of every head.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

/// A path that clients may mount, and the rules for them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Export {
    /// The path as clients mount it, such as `/default`; absolute, without `.`, `..` or empty parts.
    pub path: String,
    /// The filesystem behind it, by its name in the cluster.
    pub filesystem: String,
    /// Who may mount it; nobody when empty.
    pub clients: Vec<ClientRule>,
    /// Which users become the anonymous one.
    pub squash: Squash,
    /// Who the anonymous one is.
    pub anonymous: Anonymous,
    /// Whether clients may write.
    pub access: ExportAccess,
    /// From which ports clients may come.
    pub ports: ClientPorts,
}

impl Export {
    /// An export of a filesystem with the defaults: this machine may mount it, the superuser is squashed.
    #[must_use]
    pub fn new(path: impl Into<String>, filesystem: impl Into<String>) -> Export {
        Export {
            path: path.into(),
            filesystem: filesystem.into(),
            clients: ClientRule::loopback(),
            squash: Squash::Root,
            anonymous: Anonymous::NOBODY,
            access: ExportAccess::ReadWrite,
            ports: ClientPorts::Any,
        }
    }

    /// The export of the filesystem `default` that a daemon has unless its configuration names the
    /// path `/default` itself: to this machine only, nobody squashed.
    #[must_use]
    pub fn default_filesystem() -> Export {
        Export { squash: Squash::None, ..Export::new("/default", "default") }
    }

    /// Whether the export is there for a client at this address.
    #[must_use]
    pub fn shows_to(&self, address: IpAddr) -> bool {
        self.clients.iter().any(|rule| rule.admits(address))
    }

    /// Whether a request from here is served.
    #[must_use]
    pub fn admits(&self, peer: SocketAddr) -> bool {
        self.shows_to(peer.ip()) && (self.ports == ClientPorts::Any || peer.port() < PORTS_OF_ROOT)
    }
}

/// Ports below this are given to the superuser only (IANA's well-known ports).
const PORTS_OF_ROOT: u16 = 1024;

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

/// Which users of a client become the anonymous one.
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

/// From which ports clients may come.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ClientPorts {
    /// All.
    Any,
    /// Those below 1,024, which only the superuser of the client's machine has.
    Privileged,
}

impl ClientPorts {
    /// As the configuration writes them.
    pub const NAMES: [(&'static str, ClientPorts); 2] =
        [("any", ClientPorts::Any), ("privileged", ClientPorts::Privileged)];
}

/// Who the squashed are, written `UID:GID`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Anonymous {
    /// User.
    pub uid: u32,
    /// Group; they are in no other.
    pub gid: u32,
}

impl Anonymous {
    /// nobody and nogroup.
    pub const NOBODY: Anonymous = Anonymous { uid: 65_534, gid: 65_534 };
}

impl FromStr for Anonymous {
    type Err = ();

    fn from_str(text: &str) -> Result<Anonymous, ()> {
        let number = |text: &str| {
            let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
            // The largest number means "nobody in particular" to system calls.
            text.parse().ok().filter(|number| digits && *number != u32::MAX).ok_or(())
        };
        let (uid, gid) = text.split_once(':').ok_or(())?;
        Ok(Anonymous { uid: number(uid)?, gid: number(gid)? })
    }
}

impl fmt::Display for Anonymous {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.uid, self.gid)
    }
}

/// The name of `value` in a list like [`Squash::NAMES`].
fn name_of<T: Copy + PartialEq>(names: &[(&'static str, T)], value: T) -> &'static str {
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

impl fmt::Display for ClientPorts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(name_of(&ClientPorts::NAMES, *self))
    }
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
    fn who_the_squashed_are_is_two_numbers() {
        assert_eq!("7:8".parse(), Ok(Anonymous { uid: 7, gid: 8 }));
        assert_eq!(Anonymous::NOBODY.to_string().parse(), Ok(Anonymous::NOBODY));
        for text in ["", "7", "7:", ":8", "7:+8", "7:8:9", "root:root", "4294967295:0", "4294967296:0"] {
            assert_eq!(text.parse::<Anonymous>(), Err(()), "{text}");
        }
    }

    #[test]
    fn high_ports_are_refused_where_only_the_superuser_may_come() {
        let mut export = Export::new("/p", "p");
        let low: SocketAddr = "127.0.0.1:1023".parse().unwrap();
        let high: SocketAddr = "127.0.0.1:1024".parse().unwrap();
        assert!(export.admits(low) && export.admits(high));
        export.ports = ClientPorts::Privileged;
        assert!(export.admits(low) && !export.admits(high) && export.shows_to(high.ip()));
        assert!(!export.admits("10.0.0.1:1".parse().unwrap()));
    }
}
