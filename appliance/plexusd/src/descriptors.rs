//! How many files and connections this process may have open.

use rustix::process::{Resource, getrlimit, setrlimit};

/// Descriptors for drives, maps, logs, administrators and mounts.
const OWN: usize = 1024;
/// With few descriptors at most so large a part of them is for ourselves.
const OWN_PART: usize = 2;

/// Raises the limit of descriptors as far as this process may, and says how far that is.
pub(crate) fn raise() -> usize {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let raised = rustix::process::Rlimit { current: limit.maximum, ..limit };
        match setrlimit(Resource::Nofile, raised) {
            Ok(()) => limit = raised,
            Err(error) => tracing::warn!(%error, "the limit of open files stays as it is"),
        }
    }
    limit.current.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX))
}

/// How many of `wanted` connections fit, so that drives can still be opened when all of them are there.
pub(crate) fn connections(wanted: usize, descriptors: usize) -> usize {
    let fit = descriptors.saturating_sub(OWN.min(descriptors / OWN_PART));
    if fit < wanted {
        tracing::warn!(descriptors, wanted, fit, "fewer connections than wanted fit the limit of open files");
    }
    wanted.min(fit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_descriptors_for_the_drives() {
        assert_eq!(connections(4000, usize::MAX), 4000);
        assert_eq!(connections(4000, 5024), 4000);
        assert_eq!(connections(4000, 5000), 3976);
        assert_eq!(connections(4000, 1024), 512);
        assert_eq!(connections(4000, 0), 0);
    }

    #[test]
    fn the_limit_is_as_high_as_it_may_be() {
        let most = getrlimit(Resource::Nofile).maximum.map_or(usize::MAX, |most| most as usize);
        assert_eq!(raise(), most);
        assert_eq!(getrlimit(Resource::Nofile).current, getrlimit(Resource::Nofile).maximum);
    }
}
