//! Folding of names, so that "a" and "A" meet in the same place of a directory.

mod table;

use table::UPPER;

/// The name in the form by which case-insensitive names are equal. What is not UTF-8 folds byte-wise as ASCII.
pub(crate) fn fold(name: &[u8]) -> Vec<u8> {
    match std::str::from_utf8(name) {
        Ok(text) => {
            let mut folded = Vec::with_capacity(name.len());
            let mut buffer = [0; 4];
            for c in text.chars() {
                folded.extend_from_slice(upper(c).encode_utf8(&mut buffer).as_bytes());
            }
            folded
        }
        Err(_) => name.to_ascii_uppercase(),
    }
}

fn upper(c: char) -> char {
    if c.is_ascii() {
        return c.to_ascii_uppercase();
    }
    let code = c as u32;
    let row = UPPER.partition_point(|&(first, ..)| first <= code);
    let Some(&(first, last, step, delta)) = row.checked_sub(1).and_then(|row| UPPER.get(row)) else {
        return c;
    };
    if code > last || !(code - first).is_multiple_of(u32::from(step)) {
        return c;
    }
    code.checked_add_signed(delta).and_then(char::from_u32).unwrap_or(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_differ_in_case_fold_alike() {
        assert_eq!(fold("straße Ärger.txt".as_bytes()), fold("STRAßE äRGER.TXT".as_bytes()));
        assert_eq!(fold("ωσ".as_bytes()), "ΩΣ".as_bytes());
        assert_eq!(fold(b"\xffab"), b"\xffAB");
    }

    #[test]
    fn the_table_is_frozen() {
        let digest = (0..0x20000)
            .filter_map(char::from_u32)
            .fold(0u64, |sum, c| sum.wrapping_mul(0x100_0000_01b3) ^ u64::from(upper(c) as u32));
        assert_eq!(
            digest, 10_227_849_882_969_688_212,
            "cookies on drives depend on this table: add a version instead"
        );
    }

    #[test]
    fn rows_are_in_order() {
        assert!(UPPER.windows(2).all(|w| w[0].1 < w[1].0 || w[0].0 < w[1].0));
    }
}
