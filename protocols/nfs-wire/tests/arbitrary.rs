//! Arbitrary bytes as operations, results and attributes: a value or an error, within bounded memory.

use bytes::Bytes;
use nfs_wire::{
    Args, Attributes, Bitmap, CbCompoundArgs, CbCompoundReply, CompoundArgs, CompoundReply, Fattr, Op,
    decode_outcome, encode_outcome,
};
use proptest::prelude::*;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use xdr::{Decode, Decoder, Encode, Encoder};

/// Bytes in use may exceed those of the input by this factor and this constant, whatever the input says.
const GROWTH: usize = 64;
const BASE_BYTES: usize = 16 * 1024;

thread_local! {
    static ALLOCATED: Cell<usize> = const { Cell::new(0) };
}

/// Counts what each thread asks for.
struct Counting;

// SAFETY: all work is done by the system's allocator; counting does not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = ALLOCATED.try_with(|n| n.set(n.get() + layout.size()));
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Runs `work` and says how many bytes it has asked for in all.
fn allocated(work: impl FnOnce()) -> usize {
    let before = ALLOCATED.get();
    work();
    ALLOCATED.get() - before
}

/// Numbers as clients and attackers like them: small, so that unions are entered, or anything.
fn word() -> impl Strategy<Value = u32> {
    prop_oneof![6 => 0..12_u32, 1 => any::<u32>(), 1 => Just(u32::MAX), 1 => 12..2048_u32]
}

fn words() -> impl Strategy<Value = Bytes> {
    proptest::collection::vec(word(), 0..160).prop_map(|words| {
        let mut e = Encoder::new();
        e.words(&words);
        e.into_bytes()
    })
}

fn ops() -> impl Strategy<Value = Op> {
    (3..=75_u32).prop_filter_map("a hole in the numbers", Op::from_number)
}

fn input() -> impl Strategy<Value = Bytes> {
    prop_oneof![words(), proptest::collection::vec(any::<u8>(), 0..600).prop_map(Bytes::from)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2048, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arguments(op in ops(), bytes in input()) {
        let length = bytes.len();
        let mut decoded = None;
        let used = allocated(|| decoded = Args::decode(op, &mut Decoder::new(bytes)).ok().flatten());
        prop_assert!(used <= BASE_BYTES + GROWTH * length, "{} bytes for {}", used, length);
        if let Some(args) = decoded {
            prop_assert_eq!(args.op(), op);
            let mut e = Encoder::new();
            args.encode(&mut e);
            let mut d = Decoder::new(e.into_bytes());
            prop_assert_eq!(d.u32(), Ok(op as u32));
            let again = Args::decode(op, &mut d);
            prop_assert_eq!(again, Ok(Some(args)));
            prop_assert_eq!(d.remaining(), 0);
        }
    }

    #[test]
    fn results(op in ops(), status in prop_oneof![4 => Just(0_u32), 1 => Just(10010), 1 => any::<u32>()], bytes in input()) {
        let mut e = Encoder::new();
        e.words(&[op as u32, status]);
        e.fixed_opaque(&bytes);
        let input = e.into_bytes();
        let length = input.len();
        let mut decoded = None;
        let used = allocated(|| decoded = decode_outcome(&mut Decoder::new(input)).ok());
        prop_assert!(used <= BASE_BYTES + GROWTH * length, "{} bytes for {}", used, length);
        if let Some((op, outcome)) = decoded {
            let mut e = Encoder::new();
            encode_outcome(op, &outcome, &mut e);
            let mut d = Decoder::new(e.into_bytes());
            let again = decode_outcome(&mut d);
            prop_assert!(again.is_ok_and(|(same, _)| same == op));
            prop_assert_eq!(d.remaining(), 0);
        }
    }

    #[test]
    fn answers_to_callbacks(status in prop_oneof![Just(0_u32), any::<u32>()], bytes in input()) {
        let mut e = Encoder::new();
        e.words(&[status, 0, 2, 11, 0]);
        e.fixed_opaque(&bytes);
        for input in [bytes, e.into_bytes()] {
            let length = input.len();
            let used = allocated(|| drop(CbCompoundReply::decode(&mut Decoder::new(input.clone()))));
            prop_assert!(used <= BASE_BYTES + GROWTH * length, "{} bytes for {}", used, length);
            let _ = CbCompoundArgs::decode(&mut Decoder::new(input));
        }
    }

    #[test]
    fn heads(bytes in input()) {
        let _ = CompoundArgs::decode(&mut Decoder::new(bytes.clone()));
        let _ = CompoundReply::decode(&mut Decoder::new(bytes));
    }

    #[test]
    fn attributes(numbers in proptest::collection::vec(0..96_u32, 0..12), values in input()) {
        let fattr = Fattr { mask: Bitmap::of(&numbers), values };
        let length = fattr.values.len();
        let mut decoded = None;
        let used = allocated(|| decoded = Attributes::from_fattr(&fattr).ok());
        prop_assert!(used <= BASE_BYTES + GROWTH * length);
        if let Some(attributes) = decoded {
            let again = attributes.to_fattr(&fattr.mask);
            prop_assert_eq!(Attributes::from_fattr(&again), Ok(attributes));
        }
    }
}
