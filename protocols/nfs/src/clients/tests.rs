//! The table of clients by the cases of the specification.

use super::*;
use nfs_wire::SequenceArgs;
use std::sync::atomic::{AtomicU64, Ordering};
use xdr::{List, Opaque};

fn clients() -> Clients {
    Clients::new(Bounds {
        instance: 7,
        lease: Duration::from_secs(10),
        clients: 3,
        states_per_client: 100,
        slots: 48,
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
        flags: PERSIST,
        fore: channel(),
        back: channel(),
        cb_program: 0,
        sec_parms: List::default(),
    }
}

/// Of a connection that has ended.
fn line() -> Arc<Line> {
    Line::new(&tokio::sync::mpsc::channel(1).0)
}

fn created(
    clients: &Clients,
    args: &CreateSessionArgs,
    now: Instant,
    ended: &mut Ended,
) -> Result<CreateSessionOk, Status> {
    match clients.plan_session(clients.client(args.clientid)?, args, Some(0), (1, &line()))? {
        Planned::Done(reply) => Ok(reply),
        Planned::New(plan) => clients.create_session(*plan, now, ended),
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
    let session = created(&clients, &create(first.id, first.sequence), now(), &mut ended).unwrap();
    let again = clients.exchange_id(&owner(b"a", 1), Some(0), false, now(), &mut ended).unwrap();
    assert_eq!(again, Known { id: first.id, sequence: 2, confirmed: true });

    let second = clients.exchange_id(&owner(b"a", 2), Some(0), false, now(), &mut ended).unwrap();
    assert_ne!(second.id, first.id);
    assert!(clients.session(&session.session).is_ok());
    created(&clients, &create(second.id, 1), now(), &mut ended).unwrap();
    assert!(clients.session(&session.session).is_err());
    assert_eq!(ended.iter().map(|client| client.id).collect::<Vec<_>>(), [first.id]);
}

#[test]
fn a_name_in_use_is_not_given_to_another_principal() {
    let clients = clients();
    let mut ended = Ended::new();
    let first = clients.exchange_id(&owner(b"a", 1), Some(0), false, now(), &mut ended).unwrap();
    created(&clients, &create(first.id, 1), now(), &mut ended).unwrap();
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
    created(&clients, &create(first.id, 1), now(), &mut others).unwrap();
    assert_eq!(update(2, Some(0)), Err(Status::NotSame));
    assert_eq!(update(1, Some(9)), Err(Status::Perm));
    assert_eq!(update(1, Some(0)).unwrap().id, first.id);
}

#[test]
fn creating_a_session_is_done_once_and_slots_are_bounded() {
    let clients = clients();
    let mut ended = Ended::new();
    let a = clients.exchange_id(&owner(b"a", 1), Some(0), false, now(), &mut ended).unwrap();
    assert_eq!(created(&clients, &create(a.id, 5), now(), &mut ended), Err(Status::SeqMisordered));
    let first = created(&clients, &create(a.id, 1), now(), &mut ended).unwrap();
    assert_eq!(created(&clients, &create(a.id, 1), now(), &mut ended).unwrap(), first);
    let second = created(&clients, &create(a.id, 2), now(), &mut ended).unwrap();
    // All but what is kept for two more clients; of that only as much as each would get.
    assert_eq!((first.fore.max_requests, second.fore.max_requests), (32, 8));
    let b = clients.exchange_id(&owner(b"b", 1), Some(0), false, now(), &mut ended).unwrap();
    assert_eq!(created(&clients, &create(b.id, 1), now(), &mut ended).unwrap().fore.max_requests, 8);
    assert_eq!(created(&clients, &create(a.id, 3), now(), &mut ended), Err(Status::Delay));
    clients.destroy_session(&first.session).unwrap();
    let third = created(&clients, &create(a.id, 3), now(), &mut ended).unwrap();
    assert_eq!(third.fore.max_requests, 24);
    assert_eq!(clients.destroy_client(a.id, &mut ended), Err(Status::ClientIdBusy));
}

#[test]
fn silent_clients_expire_unless_a_request_runs() {
    let clients = clients();
    let mut ended = Ended::new();
    let start = now();
    let a = clients.exchange_id(&owner(b"a", 1), Some(0), false, start, &mut ended).unwrap();
    let session = created(&clients, &create(a.id, 1), start, &mut ended).unwrap();
    let client = Arc::clone(&clients.session(&session.session).unwrap().client);
    client.enter(start);
    let late = start + Duration::from_secs(20);
    clients.expire(late, Duration::from_secs(10), None, &mut ended);
    assert!(ended.is_empty());
    client.leave(start);
    clients.expire(late, Duration::from_secs(10), None, &mut ended);
    assert_eq!(ended.len(), 1);
    assert!(client.state().ended && clients.session(&session.session).is_err());
    assert_eq!(created(&clients, &create(a.id, 2), late, &mut ended), Err(Status::StaleClientId));
}

#[test]
fn a_slot_does_every_request_once() {
    use crate::session::Begin;
    let clients = clients();
    let mut ended = Ended::new();
    let a = clients.exchange_id(&owner(b"a", 1), Some(0), false, now(), &mut ended).unwrap();
    let created = created(&clients, &create(a.id, 1), now(), &mut ended).unwrap();
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

/// A server that finds what another has kept.
fn next_life(kept: &[(ClientId, Bytes)], start: Instant) -> Clients {
    static INSTANCES: AtomicU64 = AtomicU64::new(8);
    let instance = INSTANCES.fetch_add(1, Ordering::Relaxed);
    let clients = Clients::new(Bounds { instance, ..clients().bounds });
    for (client, record) in kept {
        clients.recall(*client, record.clone(), start).unwrap();
    }
    clients
}

/// Introduces a client and gives it a session; what is kept then comes back.
fn settle(
    clients: &Clients,
    owner: &ClientOwner,
    start: Instant,
    ended: &mut Ended,
) -> (Arc<Client>, SessionId, Bytes) {
    let known = clients.exchange_id(owner, Some(0), false, start, ended).unwrap();
    let client = clients.client(known.id).unwrap();
    let args = create(known.id, known.sequence);
    let Ok(Planned::New(plan)) = clients.plan_session(Arc::clone(&client), &args, Some(0), (1, &line()))
    else {
        panic!()
    };
    let record = plan.record.clone();
    let created = clients.create_session(*plan, start, ended).unwrap();
    assert_eq!(clients.record(&client).unwrap(), record);
    (client, created.session, record)
}

#[test]
fn a_client_that_comes_back_goes_on_and_its_former_sessions_only_answer() {
    use crate::session::Begin;
    let (mut ended, start) = (Ended::new(), now());
    let (first, session, kept) = settle(&clients(), &owner(b"a", 1), start, &mut ended);
    let life = next_life(&[(first.vfs, kept.clone())], start);
    assert_eq!(life.client(first.id).err(), Some(Status::StaleClientId));
    let former = life.session(&session).unwrap();
    assert!(former.is_former());
    let args = |slot| SequenceArgs { session, sequence: 77, slot, highest_slot: 0, cache_this: true };
    assert!(matches!(former.begin(&args(32), 0), Err(Status::BadSlot)));
    for _ in 0..2 {
        let Ok(Begin::New(turn)) = former.begin(&args(31), 0) else { panic!("it is looked up each time") };
        assert_eq!((turn.channel(), turn.position), (31, 77));
    }

    // Unconfirmed introductions change nothing.
    for _ in 0..2 {
        let known = life.exchange_id(&owner(b"a", 1), Some(0), false, start, &mut ended).unwrap();
        assert!(!known.confirmed && life.session(&session).is_ok());
    }
    let (second, newer, kept) = settle(&life, &owner(b"a", 1), start, &mut ended);
    assert_eq!(second.vfs, first.vfs);
    assert_ne!(second.id, first.id);
    assert_eq!(life.session(&newer).unwrap().channels(), 64..=127);
    assert!(life.session(&session).unwrap().is_former() && ended.is_empty());
    assert!(Arc::ptr_eq(&life.by_vfs_id(first.vfs).unwrap(), &second));

    // A second crash: both sessions answer, until they are destroyed.
    let life = next_life(&[(first.vfs, kept)], start);
    let (third, _, _) = settle(&life, &owner(b"a", 1), start, &mut ended);
    for id in [session, newer] {
        assert!(life.session(&id).unwrap().is_former());
        life.destroy_session(&id).unwrap();
        assert_eq!(life.session(&id).err(), Some(Status::BadSession));
    }
    let (_, _, alone) = settle(&clients(), &owner(b"a", 1), start, &mut Ended::new());
    assert_eq!(life.record(&third).unwrap().len(), alone.len(), "one session is kept");
}

#[test]
fn a_machine_that_restarts_while_the_server_is_away_has_nothing_any_more() {
    let (mut ended, start) = (Ended::new(), now());
    let (first, session, kept) = settle(&clients(), &owner(b"a", 1), start, &mut ended);
    let life = next_life(&[(first.vfs, kept)], start);
    let known = life.exchange_id(&owner(b"a", 2), Some(0), false, start, &mut ended).unwrap();
    assert!(ended.is_empty() && life.session(&session).is_ok());
    created(&life, &create(known.id, 1), start, &mut ended).unwrap();
    assert_eq!(ended.iter().map(|client| client.vfs).collect::<Vec<_>>(), [first.vfs]);
    assert!(life.session(&session).is_err());
    assert_ne!(life.client(known.id).unwrap().vfs, first.vfs);
}

#[test]
fn who_does_not_come_back_goes_with_its_lease_and_its_name_is_kept_until_then() {
    let (mut ended, start) = (Ended::new(), now());
    let (first, session, kept) = settle(&clients(), &owner(b"a", 1), start, &mut ended);
    let lease = Duration::from_secs(10);
    let life = next_life(&[(first.vfs, kept.clone())], start);
    let other = life.exchange_id(&owner(b"a", 1), Some(5), false, start, &mut ended);
    assert_eq!(other, Err(Status::ClidInUse));
    life.expire(start + lease, lease, None, &mut ended);
    assert!(ended.is_empty());
    life.expire(start + lease * 2, lease, None, &mut ended);
    assert_eq!(ended.len(), 1);
    assert!(life.session(&session).is_err());

    let life = next_life(&[(first.vfs, kept)], start);
    let late = start + lease * 2;
    assert!(life.exchange_id(&owner(b"a", 1), Some(5), false, late, &mut ended).is_ok());
    assert_eq!(ended.len(), 2);
}

#[test]
fn sessions_of_many_lives_are_bounded() {
    let (mut ended, start) = (Ended::new(), now());
    let (client, mut last, mut kept) = settle(&clients(), &owner(b"a", 1), start, &mut ended);
    for _ in 0..3 * SESSIONS_MAX {
        let life = next_life(&[(client.vfs, kept)], start);
        let (_, session, record) = settle(&life, &owner(b"a", 1), start, &mut ended);
        assert!(life.session(&last).unwrap().is_former(), "the newest are there");
        assert!(life.table().sessions.len() <= SESSIONS_MAX + 1);
        (last, kept) = (session, record);
    }
}
