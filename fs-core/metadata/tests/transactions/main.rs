//! Transactions over shards in memory, by turns and troubles that a seed decides.
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as expected")]

mod ledger;

use env::{Random, SeededRandom};
use ledger::{Account, Command, Rough, Site, Trouble, reply};
use metadata::{Anywhere, Locking, MetadataError, ShardSet};
use parking_lot::RwLock;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::Instant;

const ACCOUNTS: [Account; 6] = [
    Account(0, 0),
    Account(0, 1),
    Account(30_000, 0),
    Account(30_001, 0),
    Account(60_000, 0),
    Account(65_535, 0),
];
const START: i64 = 100;

type Set = ShardSet<Anywhere<Rough>>;
type Current = Arc<RwLock<Set>>;

async fn submit(current: &Current, command: &Command, crosses: bool) -> Result<i64, MetadataError> {
    let set = current.read().clone();
    set.submit(command.home(), command.encode(), crosses).await.map(|bytes| reply(&bytes))
}

async fn mint(site: &mut Site) -> Set {
    let set = site.open(true).await;
    for account in ACCOUNTS {
        let command = Command::Mint { account, amount: START };
        assert_eq!(
            set.submit(command.home(), command.encode(), false).await.map(|b| reply(&b)).unwrap(),
            START
        );
    }
    set
}

/// Moves money, asking again until there is an answer; what was moved in all from and to each account.
async fn client(current: Current, client: u32, seed: u64, requests: u64) -> Vec<i64> {
    let random = SeededRandom::new(seed * 1000 + u64::from(client));
    let pick = || (random.next() % ACCOUNTS.len() as u64) as usize;
    let mut moved = vec![0; ACCOUNTS.len()];
    for request in 1..=requests {
        let (from, to, amount) = (pick(), pick(), (random.next() % 40) as i64);
        let command = Command::Move { client, request, from: ACCOUNTS[from], to: ACCOUNTS[to], amount };
        let crosses = random.next().is_multiple_of(2);
        let left = loop {
            match submit(&current, &command, crosses).await {
                Ok(left) => break left,
                Err(MetadataError::Stopped(_) | MetadataError::InDoubt(_) | MetadataError::Busy) => {
                    tokio::time::sleep(Duration::from_millis(random.next() % 10)).await;
                }
                Err(error) => panic!("{error}"),
            }
        };
        // The same again gets the same answer.
        if random.next().is_multiple_of(4)
            && let Ok(again) = submit(&current, &command, crosses).await
        {
            assert_eq!(again, left);
        }
        if left >= 0 && from != to {
            moved[from] -= amount;
            moved[to] += amount;
        }
    }
    moved
}

/// Sums over all shards, of commands and of views: money is neither made nor lost at any moment.
async fn auditor(current: Current, sums: u64) -> Result<(), String> {
    let all = Command::Sum { accounts: ACCOUNTS.to_vec() };
    for _ in 0..sums {
        match submit(&current, &all, true).await {
            Ok(sum) if sum == START * ACCOUNTS.len() as i64 => {}
            Ok(sum) => return Err(format!("the sum is {sum}")),
            Err(MetadataError::Stopped(_) | MetadataError::InDoubt(_) | MetadataError::Busy) => {}
            Err(error) => return Err(error.to_string()),
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok(())
}

/// The executor ends in the middle of everything a few times, and the clients go on with its next life.
async fn run(seed: u64, trouble: Trouble, lives: u32, asks: bool) -> Result<(), String> {
    run_at(Site::new(4, seed, Trouble::default()), seed, trouble, lives, asks).await
}

async fn run_at(mut site: Site, seed: u64, trouble: Trouble, lives: u32, asks: bool) -> Result<(), String> {
    let current = Arc::new(RwLock::new(mint(&mut site).await));
    *site.sky.trouble.lock() = trouble;
    let clients: Vec<_> = (0..5).map(|n| tokio::spawn(client(current.clone(), n, seed, 12))).collect();
    let auditor = tokio::spawn(auditor(current.clone(), 40));
    for _ in 1..lives {
        tokio::time::sleep(Duration::from_micros(site.sky.random.next() % 20_000)).await;
        // With nobody's handle left, its tasks end where they are. Clients hold one while they wait.
        current.read().clone().end();
        let next = site.open(asks).await;
        *current.write() = next;
    }
    let mut expected = vec![START; ACCOUNTS.len()];
    for client in clients {
        for (sum, moved) in expected.iter_mut().zip(client.await.map_err(|e| e.to_string())?) {
            *sum += moved;
        }
    }
    auditor.await.unwrap()?;
    site.calm();
    // What was sent late arrives now.
    tokio::time::sleep(Duration::from_secs(10)).await;
    current.read().clone().end();
    let last = site.open(asks).await;
    last.finish().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    site.nothing_is_left();
    let balances: Vec<i64> = ACCOUNTS.iter().map(|account| site.balance(*account)).collect();
    if balances != expected {
        return Err(format!("seed {seed}: {balances:?}, not {expected:?}"));
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn every_request_takes_effect_once_and_as_a_whole() {
    for seed in 0..60 {
        run(seed, Trouble::default(), 1, true).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn also_when_messages_are_lost_late_or_doubled() {
    let trouble = Trouble { lost: 5, late: 5, doubled: 10, unheard: 5 };
    for seed in 100..180 {
        run(seed, trouble, 1, true).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn also_when_executors_end_anywhere() {
    let trouble = Trouble { lost: 2, late: 5, doubled: 5, unheard: 2 };
    for seed in 200..300 {
        run(seed, if seed % 2 == 0 { trouble } else { Trouble::default() }, 4, true).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn also_when_the_shards_are_behind_a_fabric() {
    let trouble = Trouble { lost: 2, late: 5, doubled: 5, unheard: 2 };
    for seed in 300..380 {
        let site = Site::new(4, seed, Trouble::default()).far();
        let (trouble, lives) = if seed % 2 == 0 { (trouble, 4) } else { (Trouble::default(), 1) };
        run_at(site, seed, trouble, lives, true).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_recovery_that_does_not_ask_is_found() {
    let mut found = 0;
    for seed in 200..230 {
        found += u32::from(run(seed, Trouble::default(), 4, false).await.is_err());
    }
    assert!(found > 0);
}

/// Many want the same accounts all the time: nobody waits much longer than the others.
#[tokio::test(start_paused = true)]
async fn nobody_starves() {
    let mut site = Site::new(4, 7, Trouble::default());
    let current = Arc::new(RwLock::new(mint(&mut site).await));
    let worker = |n: u32, current: Current| async move {
        let (mut longest, mut done) = (Duration::ZERO, 0);
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(2) {
            // Half of them one way, half of them the other, and some in one shard alone.
            let (from, to) = match n % 5 {
                0 | 1 => (ACCOUNTS[0], ACCOUNTS[2]),
                2 | 3 => (ACCOUNTS[2], ACCOUNTS[0]),
                _ => (ACCOUNTS[2], ACCOUNTS[3]),
            };
            done += 1;
            let command = Command::Move { client: n, request: done, from, to, amount: 0 };
            let asked = Instant::now();
            submit(&current, &command, n % 5 != 4).await.unwrap();
            longest = longest.max(asked.elapsed());
        }
        (done, longest)
    };
    let workers: Vec<_> = (0..20).map(|n| tokio::spawn(worker(n, current.clone()))).collect();
    let mut all = Vec::new();
    for worker in workers {
        all.push(worker.await.unwrap());
    }
    let set = current.read().clone();
    set.finish().await;
    assert!(all.iter().all(|(done, longest)| *done > 5 && *longest < Duration::from_millis(500)), "{all:?}");
    site.nothing_is_left();
}

/// One who looks slowly finds nearly always that somebody quicker has locked again what it needs.
#[tokio::test(start_paused = true)]
async fn the_slow_come_through_among_the_quick() {
    let mut site = Site::new(4, 9, Trouble::default());
    // Who decides is slow: what is locked for the quick is nearly always locked.
    site.members[2].slow = Duration::from_millis(5);
    let current = Arc::new(RwLock::new(mint(&mut site).await));
    let slow = site.open_late(Duration::from_millis(5)).await;
    let done = Arc::new(AtomicBool::new(false));
    let worker = |n: u32, current: Current, done: Arc<AtomicBool>| async move {
        // Each account is locked by some of them, for whom nothing else is in the way.
        let (from, to) = (Account(40_000, n as u8), ACCOUNTS[n as usize % ACCOUNTS.len()]);
        let mut request = 0;
        while !done.load(Ordering::Relaxed) {
            request += 1;
            let command = Command::Move { client: n, request, from, to, amount: 0 };
            submit(&current, &command, true).await.unwrap();
        }
        request
    };
    let workers: Vec<_> = (0..24).map(|n| tokio::spawn(worker(n, current.clone(), done.clone()))).collect();
    tokio::time::sleep(Duration::from_millis(50)).await;
    // Older than all others, as its executor's number is smaller and the clock stands still.
    let command = Command::Touch { accounts: ACCOUNTS.to_vec() };
    let begun = Instant::now();
    let took = slow.submit(command.home(), command.encode(), true).await.map(|_| begun.elapsed());
    done.store(true, Ordering::Relaxed);
    let mut requests = Vec::new();
    for worker in workers {
        requests.push(worker.await.unwrap());
    }
    println!("{took:?} among {requests:?}");
    assert!(took.unwrap() < Duration::from_secs(1));
    slow.finish().await;
    let set = current.read().clone();
    set.finish().await;
    site.nothing_is_left();
}

/// A view over several shards shows a moment, or says that it does not.
#[tokio::test(start_paused = true)]
async fn views_show_one_moment_or_say_that_they_do_not() {
    use map::{MapError, OrderedMap, Recorder};
    let mut site = Site::new(4, 11, Trouble::default());
    let current = Arc::new(RwLock::new(mint(&mut site).await));
    let clients: Vec<_> = (0..6).map(|n| tokio::spawn(client(current.clone(), n, 11, 60))).collect();
    let (mut good, mut torn) = (0, 0);
    while clients.iter().any(|client| !client.is_finished()) {
        let set = current.read().clone();
        let views = set.view(Locking::AllOthers(None));
        let recorder = Recorder::new(&views);
        let mut sum = 0;
        let mut locked = false;
        for account in ACCOUNTS {
            let key = [&account.0.to_be_bytes()[..], b"a", &[account.1]].concat();
            match recorder.get(&key) {
                Ok(value) => sum += value.map_or(0, |v| i64::from_be_bytes(v.as_ref().try_into().unwrap())),
                Err(MapError::Locked(_)) => locked = true,
                Err(error) => panic!("{error}"),
            }
            tokio::task::yield_now().await;
        }
        match views.hold(recorder.into_reads()).await {
            Ok(true) if !locked => {
                assert_eq!(sum, START * ACCOUNTS.len() as i64);
                good += 1;
            }
            _ => torn += 1,
        }
        tokio::time::sleep(Duration::from_micros(100)).await;
    }
    assert!(good > 5 && torn > 5, "{good} moments, {torn} others");
    let set = current.read().clone();
    let still = set.still(|| Ok(set.view(Locking::Nobody))).await.unwrap();
    still.ask_all().await.unwrap();
    assert_eq!(still.asked().len(), 4);
    site.nothing_is_left();
}
