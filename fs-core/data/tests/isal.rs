//! Parity must be byte-identical to Intel ISA-L's, so that either can read what the other wrote.
//! The library is looked for at run time; `packaging/prepare test` installs it.

use cluster::Scheme;
use data::{Cauchy, Codec};
use std::ffi::{CStr, c_char, c_int, c_uchar, c_void};

unsafe extern "C" {
    fn dlopen(name: *const c_char, flags: c_int) -> *mut c_void;
    fn dlsym(library: *mut c_void, name: *const c_char) -> *mut c_void;
}

type Matrix = unsafe extern "C" fn(*mut c_uchar, c_int, c_int);
type Tables = unsafe extern "C" fn(c_int, c_int, *const c_uchar, *mut c_uchar);
type Encode =
    unsafe extern "C" fn(c_int, c_int, c_int, *const c_uchar, *const *const c_uchar, *const *mut c_uchar);

struct Isal {
    matrix: Matrix,
    tables: Tables,
    encode: Encode,
}

fn isal() -> Option<Isal> {
    const NOW: c_int = 2;
    // SAFETY: a valid C string; the library has no constructors that matter here.
    let library = unsafe { dlopen(c"libisal.so.2".as_ptr(), NOW) };
    if library.is_null() {
        return None;
    }
    let symbol = |name: &CStr| {
        // SAFETY: the library is loaded and never unloaded.
        let found = unsafe { dlsym(library, name.as_ptr()) };
        assert!(!found.is_null(), "{name:?}");
        found
    };
    // SAFETY: the types are those of isa-l/erasure_code.h of version 2.30.
    unsafe {
        Some(Isal {
            matrix: std::mem::transmute::<*mut c_void, Matrix>(symbol(c"gf_gen_cauchy1_matrix")),
            tables: std::mem::transmute::<*mut c_void, Tables>(symbol(c"ec_init_tables")),
            encode: std::mem::transmute::<*mut c_void, Encode>(symbol(c"ec_encode_data")),
        })
    }
}

impl Isal {
    fn parity(&self, scheme: Scheme, data: &[Vec<u8>]) -> Vec<Vec<u8>> {
        let (k, m, length) = (scheme.data(), scheme.width(), data[0].len());
        let mut matrix = vec![0u8; m * k];
        let mut tables = vec![0u8; 32 * k * scheme.parity()];
        let mut parity = vec![vec![0u8; length]; scheme.parity()];
        let sources: Vec<*const u8> = data.iter().map(|chunk| chunk.as_ptr()).collect();
        let targets: Vec<*mut u8> = parity.iter_mut().map(|chunk| chunk.as_mut_ptr()).collect();
        let int = |n: usize| n as c_int;
        // SAFETY: sizes are those the library documents: m*k, 32*k*p, and `length` for each chunk.
        unsafe {
            (self.matrix)(matrix.as_mut_ptr(), int(m), int(k));
            (self.tables)(int(k), int(m - k), matrix[k * k..].as_ptr(), tables.as_mut_ptr());
            (self.encode)(
                int(length),
                int(k),
                int(m - k),
                tables.as_ptr(),
                sources.as_ptr(),
                targets.as_ptr(),
            );
        }
        parity
    }
}

#[test]
fn parity_is_byte_identical_to_isal() {
    let isal = isal().expect("libisal.so.2 is not installed: packaging/prepare test does it");
    let codec = Cauchy::default();
    for length in [1, 31, 64, 4096, 12288] {
        for data in 1..=16u8 {
            for parity in [1, 2, 4] {
                let scheme = Scheme::new(data, parity).unwrap();
                let byte = |c: usize, n: usize| (c * 101 + n * 7 + n / 251 + length) as u8;
                let data: Vec<Vec<u8>> =
                    (0..scheme.data()).map(|c| (0..length).map(|n| byte(c, n)).collect()).collect();
                let slices: Vec<&[u8]> = data.iter().map(Vec::as_slice).collect();
                assert_eq!(
                    codec.encode(scheme, &slices).unwrap(),
                    isal.parity(scheme, &data),
                    "{scheme} {length}"
                );
            }
        }
    }
}
