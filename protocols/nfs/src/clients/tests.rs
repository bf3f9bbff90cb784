//! The table of clients by the cases of the specification.

use super::*;
use nfs_wire::SequenceArgs;
use xdr::{List, Opaque};

fn clients() -> Clients {
    Clients::new(Bounds {
        instance: 7,
        lease: Duration::from_secs(10),
        clients: 100,
        states_per_client: 100,
        slots: 40,
    })
}

fn owner(name: &'static [u8], verifier: u8) -> ClientOwner {
    ClientOwner { verifier: [verifier; 8], ownerid: Opaque(Bytes::from_static(name)) }
}

fn channel() -> ChannelAttrs {
    ChannelAttrs {
        header_pad_size: 0,
        max_request_size: 4096,
        max_response_size: 4096,
        max_response_size_cached: 1024,
        max_operations: 16,
        max_requests: 32,
        rdma_ird: List::default(),
    }
}

fn create(clientid: u64, sequence: u32) -> CreateSessionArgs {
    CreateSessionArgs {
        clientid,
        sequence,
        flags: 0,
        fore: channel(),
        back: channel(),
        cb_program: 0,
        sec_parms: List::default(),
    }
}

fn now() -> Instant {
    Instant::now()
}

#[test]
fn a_client_that_restarts_loses_its_state_when_it_confirms() {
    let clients = clients();
    let mut ended = Ended::new();
    let first = clients.exchange_id(&owner(b"a", 1), Some(0), false, now(), &mut ended).unwrap();
    assert!(!first.confirmed);
    let session =
        clients.create_session(&create(first.id, first.sequence), Some(0), now(), &mut ended).unwrap();
    let again = clients.exchange_id(&owner(b"a", 1), Some(0), false, now(), &mut ended).unwrap();
    assert_eq!(again, Known { id: first.id, sequence: 2, confirmed: true });

    let second = clients.exchange_id(&owner(b"a", 2), Some(0), false, now(), &mut ended).unwrap();
    assert_ne!(second.id, first.id);
    assert!(clients.session(&session.session).is_ok());
    clients.create_session(&create(second.id, 1), Some(0), now(), &mut ended).unwrap();
    assert!(clients.session(&session.session).is_err());
    assert_eq!(ended.iter().map(|client| client.id).collect::<Vec<_>>(), [first.id]);
}

#[test]
fn a_name_in_use_is_not_given_to_another_principal() {
    let clients = clients();
    let mut ended = Ended::new();
    let first = clients.exchange_id(&owner(b"a", 1), Some(0), false, now(), &mut ended).unwrap();
    clients.create_session(&create(first.id, 1), Some(0), now(), &mut ended).unwrap();
    let other = clients.exchange_id(&owner(b"a", 1), Some(5), false, now(), &mut ended);
    assert_eq!(other, Err(Status::ClidInUse));
    let late = now() + Duration::from_secs(11);
    assert!(clients.exchange_id(&owner(b"a", 1), Some(5), false, late, &mut ended).is_ok());
    assert_eq!(ended.len(), 1);
}

#[test]
fn updates_need_a_confirmed_record_that_matches() {
    let clients = clients();
    let mut ended = Ended::new();
    let mut update =
        |verifier, principal| clients.exchange_id(&owner(b"a", verifier), principal, true, now(), &mut ended);
    assert_eq!(update(1, Some(0)), Err(Status::NoEnt));
    let mut others = Ended::new();
    let first = clients.exchange_id(&owner(b"a", 1), Some(0), false, now(), &mut others).unwrap();
    clients.create_session(&create(first.id, 1), Some(0), now(), &mut others).unwrap();
    assert_eq!(update(2, Some(0)), Err(Status::NotSame));
    assert_eq!(update(1, Some(9)), Err(Status::Perm));
    assert_eq!(update(1, Some(0)).unwrap().id, first.id);
}

#[test]
fn creating_a_session_is_done_once_and_slots_are_bounded() {
    let clients = clients();
    let mut ended = Ended::new();
    let a = clients.exchange_id(&owner(b"a", 1), Some(0), false, now(), &mut ended).unwrap();
    assert_eq!(
        clients.create_session(&create(a.id, 5), Some(0), now(), &mut ended),
        Err(Status::SeqMisordered)
    );
    let first = clients.create_session(&create(a.id, 1), Some(0), now(), &mut ended).unwrap();
    assert_eq!(clients.create_session(&create(a.id, 1), Some(0), now(), &mut ended).unwrap(), first);
    let second = clients.create_session(&create(a.id, 2), Some(0), now(), &mut ended).unwrap();
    assert_eq!((first.fore.max_requests, second.fore.max_requests), (32, 8));
    assert_eq!(clients.create_session(&create(a.id, 3), Some(0), now(), &mut ended), Err(Status::Delay));
    clients.destroy_session(&first.session).unwrap();
    assert!(clients.create_session(&create(a.id, 3), Some(0), now(), &mut ended).is_ok());
    assert_eq!(clients.destroy_client(a.id, &mut ended), Err(Status::ClientIdBusy));
}

#[test]
fn silent_clients_expire_unless_a_request_runs() {
    let clients = clients();
    let mut ended = Ended::new();
    let start = now();
    let a = clients.exchange_id(&owner(b"a", 1), Some(0), false, start, &mut ended).unwrap();
    let session = clients.create_session(&create(a.id, 1), Some(0), start, &mut ended).unwrap();
    let client = Arc::clone(&clients.session(&session.session).unwrap().client);
    client.enter(start);
    let late = start + Duration::from_secs(20);
    clients.expire(late, Duration::from_secs(10), None, &mut ended);
    assert!(ended.is_empty());
    client.leave(start);
    clients.expire(late, Duration::from_secs(10), None, &mut ended);
    assert_eq!(ended.len(), 1);
    assert!(client.state().ended && clients.session(&session.session).is_err());
    assert_eq!(
        clients.create_session(&create(a.id, 2), Some(0), late, &mut ended),
        Err(Status::StaleClientId)
    );
}

#[test]
fn a_slot_does_every_request_once() {
    use crate::session::Begin;
    let clients = clients();
    let mut ended = Ended::new();
    let a = clients.exchange_id(&owner(b"a", 1), Some(0), false, now(), &mut ended).unwrap();
    let created = clients.create_session(&create(a.id, 1), Some(0), now(), &mut ended).unwrap();
    let session = clients.session(&created.session).unwrap();
    let args = |sequence, slot| SequenceArgs {
        session: created.session,
        sequence,
        slot,
        highest_slot: 0,
        cache_this: true,
    };
    assert!(matches!(session.begin(&args(1, 32), 0), Err(Status::BadSlot)));
    assert!(matches!(session.begin(&args(0, 0), 0), Err(Status::SeqMisordered)));
    assert!(matches!(session.begin(&args(2, 0), 0), Err(Status::SeqMisordered)));
    let Ok(Begin::New(running)) = session.begin(&args(1, 0), 77) else { panic!("a new request") };
    assert!(matches!(session.begin(&args(1, 0), 77), Err(Status::Delay)));
    running.finish(Some(Bytes::from_static(b"reply")));
    assert!(matches!(session.begin(&args(1, 0), 78), Err(Status::SeqFalseRetry)));
    assert!(matches!(session.begin(&args(1, 0), 77), Ok(Begin::Replay(reply)) if &reply[..] == b"reply"));
    let Ok(Begin::New(running)) = session.begin(&args(2, 0), 5) else { panic!("the next request") };
    drop(running);
    assert!(matches!(session.begin(&args(2, 0), 5), Ok(Begin::Uncached)));
}
