//! Arbitrary bytes end in a value or an error, never in a panic or in more memory than they have.

use bytes::Bytes;
use proptest::prelude::*;
use xdr::record::FragmentHeader;
use xdr::rpc::{AuthSys, Call, ReplyStatus};
use xdr::{Decode, Decoder, Encode, Encoder, List, Opaque};

proptest! {
    #[test]
    fn rpc_headers(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let bytes = Bytes::from(bytes);
        let _ = Call::decode(&mut Decoder::new(bytes.clone()));
        let _ = ReplyStatus::decode_success(&mut Decoder::new(bytes));
    }

    #[test]
    fn rpc_headers_that_begin_well(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let mut e = Encoder::new();
        e.words(&[1, 0, 2]);
        e.fixed_opaque(&bytes);
        if let Ok(call) = Call::decode(&mut Decoder::new(e.into_bytes())) {
            let mut again = Encoder::new();
            call.encode(&mut again);
            if !matches!(call.credential, xdr::rpc::Credential::Other(_)) {
                prop_assert_eq!(Call::decode(&mut Decoder::new(again.into_bytes())), Ok(call));
            }
        }
    }

    #[test]
    fn decoded_values_have_no_more_elements_than_bytes(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let length = bytes.len();
        if let Ok(list) = List::<u32, { usize::MAX }>::decode(&mut Decoder::new(Bytes::from(bytes.clone()))) {
            prop_assert!(list.len() * 4 <= length);
        }
        if let Ok(data) = Opaque::<{ usize::MAX }>::decode(&mut Decoder::new(Bytes::from(bytes))) {
            prop_assert!(data.len() <= length);
        }
    }

    #[test]
    fn credentials_survive_the_wire(uid: u32, gid: u32, gids in proptest::collection::vec(any::<u32>(), 0..=16)) {
        let sys = AuthSys { stamp: 0, machine: Opaque(Bytes::from_static(b"abc")), uid, gid, gids: List(gids) };
        let mut e = Encoder::new();
        sys.encode(&mut e);
        prop_assert_eq!(AuthSys::decode(&mut Decoder::new(e.into_bytes())), Ok(sys));
    }

    #[test]
    fn fragment_headers_survive_the_wire(bytes: [u8; 4]) {
        let header = FragmentHeader::parse(bytes);
        if header.last {
            prop_assert_eq!(FragmentHeader::whole(header.length as usize), Some(bytes));
        }
    }
}
