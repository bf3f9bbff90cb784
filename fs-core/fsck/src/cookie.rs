//! Where an entry of a name must stand in its directory (`docs/formats/keys.md`, Cookies).

use siphasher::sip::SipHasher24;
use std::hash::Hasher;
use types::Cookie;

const EXACT_BITS: u32 = 23;
/// How far beyond its natural cookie an entry may be displaced.
const DISPLACED_MAX: u64 = 65_535;

fn hash(key: &[u8; 16], bytes: &[u8]) -> u64 {
    let mut hasher = SipHasher24::new_with_key(key);
    hasher.write(bytes);
    hasher.finish()
}

/// How far `cookie` is beyond the natural one of `name`; `None` where no such entry may be. The folding table
/// is not read here: of names with letters beyond ASCII only the exact part of the cookie is checked.
pub(crate) fn displacement(key: &[u8; 16], name: &[u8], cookie: u64) -> Option<u64> {
    let last = Cookie::LAST.0 - DISPLACED_MAX;
    if !(Cookie::FIRST.0..=Cookie::LAST.0).contains(&cookie) {
        return None;
    }
    let exact = hash(key, name) >> (64 - EXACT_BITS);
    let distance = if name.is_ascii() || std::str::from_utf8(name).is_err() {
        let folded = hash(key, &name.to_ascii_uppercase()) >> 24;
        cookie.checked_sub((folded << EXACT_BITS | exact).clamp(Cookie::FIRST.0, last))?
    } else if cookie >> EXACT_BITS == 0 || cookie >= last {
        // Clamped: the exact part may be another.
        0
    } else {
        cookie.wrapping_sub(exact) & ((1 << EXACT_BITS) - 1)
    };
    (distance <= DISPLACED_MAX).then_some(distance)
}
