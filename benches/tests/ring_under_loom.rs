//! The ring's code from the listing under loom, which runs it in every order
//! that the threads and the memory allow. A sleeper whom nobody wakes is
//! a deadlock there, and without either of the two fences there is one.
//!
//! loom takes a `SeqCst` access for one that is `AcqRel`, so it allows more
//! than the language does, and nothing here rests on such an access alone.

#![cfg(all(target_os = "linux", not(miri)))]
#![allow(clippy::unwrap_used)] // A failure here is a failed test.
#![allow(clippy::reversed_empty_ranges)] // SPINS is 0.

use std::env;
use std::panic::Location;
use std::process::Command;

use anyhow::{Result, anyhow};
use futex::Errno;
use loom::sync::Arc;
use loom::sync::atomic::Ordering::{self, Acquire, Relaxed, Release, SeqCst};
use loom::sync::atomic::{AtomicU32, AtomicU64};
use loom::thread;

const SLOTS: usize = 2;
const PER_PRODUCER: u64 = 1;
// Each spin is one more chance not to sleep.
const SPINS: u32 = 0;

macro_rules! anchor {
    ($anchor:literal) => {
        concat!(
            env!("OUT_DIR"),
            "/communicating_with_queues/shared_ring/",
            $anchor,
            ".rs"
        )
    };
}

include!(anchor!("layout"));
include!(anchor!("event"));
include!(anchor!("ring"));
include!(anchor!("blocking"));

/// The line of the fence that is left out, in the file of the anchor `event`.
const WITHOUT: &str = "WITHOUT_FENCE_IN_LINE";

#[track_caller]
fn fence(order: Ordering) {
    let line = Location::caller().line().to_string();
    if env::var(WITHOUT).is_ok_and(|without| without == line) {
        return;
    }
    loom::sync::atomic::fence(order);
}

/// What the kernel does: it looks at the word and falls asleep, or wakes,
/// under one lock.
mod futex {
    use std::collections::BTreeMap;

    use loom::sync::atomic::AtomicU32;
    use loom::sync::atomic::Ordering::SeqCst;
    use loom::sync::{Condvar, Mutex};

    loom::lazy_static! {
        /// How often there was a wake on each word.
        static ref WAKES: Mutex<BTreeMap<usize, u32>> = Mutex::default();
        static ref CHANGED: Condvar = Condvar::new();
    }

    #[derive(Debug, PartialEq, Eq)]
    pub struct Errno(i32);

    impl Errno {
        pub const AGAIN: Errno = Errno(11);
        pub const INTR: Errno = Errno(4);
    }

    impl From<Errno> for anyhow::Error {
        fn from(errno: Errno) -> anyhow::Error {
            anyhow::anyhow!("{errno:?}")
        }
    }

    pub struct Flags;

    impl Flags {
        pub const fn empty() -> Flags {
            Flags
        }
    }

    pub fn wait(
        word: &AtomicU32,
        _: Flags,
        expected: u32,
        _: Option<()>,
    ) -> Result<(), Errno> {
        let key = std::ptr::from_ref(word).addr();
        let mut wakes = WAKES.lock().unwrap();
        if word.load(SeqCst) != expected {
            return Err(Errno::AGAIN);
        }
        let before = wakes.get(&key).copied();
        while wakes.get(&key).copied() == before {
            wakes = CHANGED.wait(wakes).unwrap();
        }
        Ok(())
    }

    pub fn wake(word: &AtomicU32, _: Flags, _: u32) -> Result<(), Errno> {
        let key = std::ptr::from_ref(word).addr();
        *WAKES.lock().unwrap().entry(key).or_default() += 1;
        CHANGED.notify_all();
        Ok(())
    }
}

fn new_ring() -> Arc<Ring> {
    let zero = || AtomicU32::new(0);
    let event = || {
        Padded(Event {
            count: zero(),
            sleepers: zero(),
        })
    };
    Arc::new(Ring {
        tail: Padded(AtomicU64::new(0)),
        head: Padded(AtomicU64::new(0)),
        filled: event(),
        emptied: event(),
        parent: zero(),
        producers: AtomicU32::new(1),
        broken: zero(),
        slots: std::array::from_fn(|position| Slot {
            turn: AtomicU64::new(position as u64),
            message: AtomicU64::new(0),
        }),
        received: std::array::from_fn(|_| zero()),
    })
}

/// Runs `other` in a thread beside what is done here.
fn beside<T: 'static>(
    ring: &Arc<Ring>,
    other: fn(&Ring) -> Result<T>,
) -> thread::JoinHandle<Result<T>> {
    let ring = Arc::clone(ring);
    thread::spawn(move || other(&ring))
}

#[test]
fn a_message_wakes_the_consumer() {
    loom::model(|| {
        let ring = new_ring();
        let consumer = beside(&ring, Ring::pop);
        ring.push(7).unwrap();
        assert_eq!(consumer.join().unwrap().unwrap(), Some(7));
    });
}

#[test]
fn a_free_slot_wakes_the_producer() {
    loom::model(|| {
        let ring = new_ring();
        (0..SLOTS as u64).for_each(|it| assert!(ring.try_push(it)));
        let producer = beside(&ring, |ring| ring.push(7));
        assert_eq!(ring.pop().unwrap(), Some(0));
        producer.join().unwrap().unwrap();
    });
}

#[test]
fn the_end_wakes_the_consumer() {
    loom::model(|| {
        let ring = new_ring();
        let consumer = beside(&ring, Ring::pop);
        ring.leave();
        assert_eq!(consumer.join().unwrap().unwrap(), None);
    });
}

/// More steps have more orders than there is time for: here at most
/// twice a thread is interrupted that could go on.
fn in_most_orders(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    builder.check(model);
}

#[test]
fn what_was_sent_before_the_end_is_received() {
    in_most_orders(|| {
        let ring = new_ring();
        let consumer = beside(&ring, |ring| Ok((ring.pop()?, ring.pop()?)));
        ring.push(7).unwrap();
        ring.leave();
        assert_eq!(consumer.join().unwrap().unwrap(), (Some(7), None));
    });
}

#[test]
fn a_death_wakes_the_consumer() {
    loom::model(|| {
        let ring = new_ring();
        let consumer = beside(&ring, Ring::pop);
        ring.give_up();
        consumer.join().unwrap().unwrap_err();
    });
}

#[test]
fn one_message_wakes_one_of_two_consumers_and_the_end_the_other() {
    in_most_orders(|| {
        let ring = new_ring();
        let consumers = [(); 2].map(|()| beside(&ring, Ring::pop));
        ring.push(7).unwrap();
        ring.leave();
        let received = consumers.map(|it| it.join().unwrap().unwrap());
        assert!(
            received == [Some(7), None] || received == [None, Some(7)],
            "{received:?}"
        );
    });
}

/// A model that fails ends its process, so each runs in one of its own.
#[test]
fn without_either_fence_a_sleeper_is_not_woken() {
    let event = include_str!(anchor!("event"));
    let fences: Vec<_> = (1..)
        .zip(event.lines())
        .filter(|(_, text)| text.trim() == "fence(SeqCst);")
        .collect();
    assert_eq!(fences.len(), 2, "announce and wait have a fence each");
    for (line, _) in fences {
        for test in [
            "a_message_wakes_the_consumer",
            "a_free_slot_wakes_the_producer",
        ] {
            let output = Command::new(env::current_exe().unwrap())
                .args(["--exact", test, "--nocapture"])
                .env(WITHOUT, line.to_string())
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(!output.status.success(), "{test} needs no line {line}");
            assert!(said.contains("deadlock"), "line {line}: {said}");
        }
    }
}
