//! Where built programs and guests are.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

/// The root of the repository.
#[must_use]
pub fn repository() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_owned()
}

/// The folder that this test or program was built into, such as `target/debug`.
///
/// # Errors
/// When the running program cannot be found.
pub fn build_folder() -> io::Result<PathBuf> {
    let own = std::env::current_exe()?;
    let folder = own.parent().ok_or_else(|| io::Error::other("a program without a folder"))?;
    let is_below = folder.ends_with("deps") || folder.ends_with("examples");
    let folder = if is_below { folder.parent().unwrap_or(folder) } else { folder };
    Ok(folder.to_owned())
}

/// A port that nobody listens at, at this address of the machine.
///
/// # Errors
/// When there is no such address, or no port left.
pub fn free_port(address: &str) -> io::Result<u16> {
    Ok(free_listener(address)?.local_addr()?.port())
}

/// Below those that Linux gives to connections, one of which could be in the way of who starts again on his port.
const PORTS: std::ops::Range<u64> = 13_000..32_000;
const TRIES: usize = 1000;

/// Listens at a port that nobody else has.
///
/// # Errors
/// As [`free_port`].
pub fn free_listener(address: &str) -> io::Result<TcpListener> {
    for _ in 0..TRIES {
        // As many tests at once look for ports: anywhere.
        let anywhere = RandomState::new().build_hasher().finish();
        let port = PORTS.start + anywhere % (PORTS.end - PORTS.start);
        match TcpListener::bind((address, port as u16)) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            bound => return bound,
        }
    }
    TcpListener::bind((address, 0))
}

/// Has this process open as many files as the system lets it.
///
/// # Errors
/// What the system says.
pub fn raise_descriptors() -> io::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    Ok(setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })?)
}

/// A folder with programs to be taken in the place of those that are built beside this one.
const PROGRAMS: &str = "PLEXUS_E2E_PROGRAMS";

/// A program of the workspace, built beside this one, or in the folder `PLEXUS_E2E_PROGRAMS`.
///
/// # Errors
/// With the command that builds it when it is missing.
pub fn program(name: &str) -> io::Result<PathBuf> {
    let chosen = std::env::var_os(PROGRAMS).map(|folder| PathBuf::from(folder).join(name));
    if let Some(path) = chosen.filter(|path| path.is_file()) {
        return Ok(path);
    }
    let path = build_folder()?.join(name);
    if path.is_file() {
        return Ok(path);
    }
    let message = format!("{} is not built: cargo build -p {name}", path.display());
    Err(io::Error::new(io::ErrorKind::NotFound, message))
}

/// The guests: `PLEXUS_GUEST_CACHE`, else `target/guest-cache`.
///
/// # Errors
/// With the command that builds them when they are missing.
pub fn guest_cache() -> io::Result<PathBuf> {
    let cache = std::env::var_os("PLEXUS_GUEST_CACHE")
        .map_or_else(|| repository().join("target/guest-cache"), PathBuf::from);
    if cache.join("stamp").is_file() {
        return cache.canonicalize();
    }
    let message = format!("{} holds no guests: tests/guest/build makes them", cache.display());
    Err(io::Error::new(io::ErrorKind::NotFound, message))
}
