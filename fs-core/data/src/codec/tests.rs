//! Every loss that a scheme promises to survive must be made good.

use super::*;
use proptest::prelude::*;

const LENGTH: usize = 80;

fn data(scheme: Scheme, salt: u8) -> Vec<Vec<u8>> {
    let byte = |c: usize, n: usize| (c * 131 + n * 17 + n * n) as u8 ^ salt;
    (0..scheme.data()).map(|c| (0..LENGTH).map(|n| byte(c, n)).collect()).collect()
}

fn check(codec: &Cauchy, scheme: Scheme, all: &[Vec<u8>], lost: u32) {
    let chunks: Vec<Option<&[u8]>> =
        all.iter().enumerate().map(|(n, c)| (lost >> n & 1 == 0).then_some(c.as_slice())).collect();
    let want: Vec<usize> = (0..all.len()).filter(|n| lost >> n & 1 == 1).collect();
    let made = codec.reconstruct(scheme, &chunks, &want).unwrap();
    for (index, made) in want.iter().zip(made) {
        assert_eq!(made, all[*index], "{scheme} lost {lost:b}");
    }
}

fn encoded(codec: &Cauchy, scheme: Scheme) -> Vec<Vec<u8>> {
    let mut all = data(scheme, 0x5a);
    let slices: Vec<&[u8]> = all.iter().map(Vec::as_slice).collect();
    let parity = codec.encode(scheme, &slices).unwrap();
    all.extend(parity);
    all
}

#[test]
fn every_loss_pattern_of_every_scheme() {
    let codec = Cauchy::default();
    let mut tried = 0;
    for data in 1..=16u8 {
        for parity in [1, 2, 4] {
            let scheme = Scheme::new(data, parity).unwrap();
            let all = encoded(&codec, scheme);
            for lost in (1u32..1 << scheme.width()).filter(|p| p.count_ones() <= u32::from(parity)) {
                check(&codec, scheme, &all, lost);
                tried += 1;
            }
        }
    }
    // For each scheme the sum of C(D + P, n), n from 1 to P.
    assert_eq!(tried, 29_136);
}

#[test]
fn more_losses_than_parity_are_refused() {
    let codec = Cauchy::default();
    let scheme = Scheme::new(4, 2).unwrap();
    let all = encoded(&codec, scheme);
    let three: Vec<Option<&[u8]>> =
        all.iter().enumerate().map(|(n, c)| (n > 2).then_some(c.as_slice())).collect();
    assert!(codec.reconstruct(scheme, &three, &[0]).is_err());
    assert!(codec.reconstruct(scheme, &[None; 6], &[0]).is_err());
    assert!(codec.reconstruct(Scheme::NONE, &[Some(&[1])], &[0]).is_err());
    assert!(codec.encode(scheme, &[&[1], &[2]]).is_err());
    assert!(codec.encode(scheme, &[&[1], &[2], &[3], &[4, 5]]).is_err());
    assert_eq!(codec.encode(Scheme::NONE, &[&[1]]), Ok(vec![]));
}

/// Multiplication in GF(2^8) with the polynomial 0x11d, bit by bit.
fn multiply(mut a: u8, mut b: u8) -> u8 {
    let mut product = 0;
    while b != 0 {
        if b & 1 == 1 {
            product ^= a;
        }
        a = (a << 1) ^ (if a & 0x80 == 0 { 0 } else { 0x1d });
        b >>= 1;
    }
    product
}

#[test]
fn parity_is_what_the_format_says() {
    let codec = Cauchy::default();
    for (data, parity) in [(1, 2), (4, 2), (16, 4), (7, 1)] {
        let scheme = Scheme::new(data, parity).unwrap();
        let all = encoded(&codec, scheme);
        for row in scheme.data()..scheme.width() {
            for at in 0..LENGTH {
                let mut sum = 0;
                for (column, chunk) in all[..scheme.data()].iter().enumerate() {
                    let inverse = (1..=255).find(|&x| multiply(x, (row ^ column) as u8) == 1).unwrap();
                    sum ^= multiply(inverse, chunk[at]);
                }
                assert_eq!(all[row][at], sum, "{scheme} row {row} byte {at}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn random_losses_of_random_schemes(d in 1..=16u8, p in 0..3usize, order in Just((0..20u32).collect::<Vec<_>>()).prop_shuffle()) {
        let scheme = Scheme::new(d, [1, 2, 4][p]).unwrap();
        let codec = Cauchy::default();
        let all = encoded(&codec, scheme);
        let lost = order.iter().filter(|n| (**n as usize) < scheme.width()).take(scheme.parity()).map(|n| 1u32 << n).sum();
        check(&codec, scheme, &all, lost);
    }
}
