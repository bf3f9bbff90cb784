//! Where an entry stands in its directory.

use crate::fold::fold;
use siphasher::sip::SipHasher24;
use std::hash::Hasher;
use types::{Cookie, Name};

const EXACT_BITS: u32 = 23;

/// The natural cookie of `name`: 40 bits of a keyed hash of the folded name, then 23 of the exact one.
/// Names equal but for case are neighbours. A collision moves an entry to the next free cookie.
pub(crate) fn natural(key: &[u8; 16], name: &Name) -> Cookie {
    let hash = |bytes: &[u8]| {
        let mut hasher = SipHasher24::new_with_key(key);
        hasher.write(bytes);
        hasher.finish()
    };
    let folded = hash(&fold(name.as_bytes())) >> 24;
    let exact = hash(name.as_bytes()) >> (64 - EXACT_BITS);
    // Room for displaced entries at the very end, and for the heads' own values at the beginning.
    let cookie = (folded << EXACT_BITS | exact).clamp(Cookie::FIRST.0, Cookie::LAST.0 - u64::from(u16::MAX));
    Cookie(cookie)
}
