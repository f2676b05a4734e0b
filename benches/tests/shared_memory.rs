//! The shared-memory code of the listings, with threads for processes: what
//! Miri cannot map or fork, it can check for data races and undefined
//! behavior when it lies in ordinary memory.
//!
//! `cargo test -p benches --test shared_memory` runs thousands of messages
//! and rounds on the real processor, with `--release` millions of them; few
//! of them run under Miri's scheduler and its weak memory, with
//! `cargo +nightly-2026-06-15 miri test -p benches --test shared_memory`.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)] // A failure here is a failed test.

/// More where it costs less.
const fn times(few: u32) -> u32 {
    if cfg!(miri) {
        few
    } else if cfg!(debug_assertions) {
        few * 200
    } else {
        few * 20_000
    }
}

mod ring {
    use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
    use std::sync::atomic::{AtomicU32, AtomicU64, fence};
    use std::thread;

    use anyhow::{Context, Result, anyhow};
    use rustix::io::Errno;
    use rustix::thread::futex;

    // Few, so that it is often full and often empty.
    const SLOTS: usize = 4;
    const PER_PRODUCER: u64 = super::times(50) as u64;
    const SPINS: u32 = 20;

    macro_rules! listing {
        ($anchor:literal) => {
            include!(concat!(
                env!("OUT_DIR"),
                "/communicating_with_queues/shared_ring/",
                $anchor,
                ".rs"
            ));
        };
    }

    listing!("layout");
    listing!("event");
    listing!("ring");
    listing!("blocking");

    fn new_ring(producers: u32) -> Box<Ring> {
        // SAFETY: every bit pattern is a valid Ring: it consists of atomics.
        let ring = unsafe { Box::<Ring>::new_zeroed().assume_init() };
        ring.producers.store(producers, Relaxed);
        for (position, slot) in (0..).zip(&ring.slots) {
            slot.turn.store(position, Relaxed);
        }
        ring
    }

    fn produce(ring: &Ring, number: u64) -> Result<()> {
        let first = PER_PRODUCER * number;
        for message in first..first + PER_PRODUCER {
            ring.push(message)?;
        }
        ring.leave();
        Ok(())
    }

    fn consume(ring: &Ring) -> Result<()> {
        while let Some(message) = ring.pop()? {
            let count = ring.received.get(message as usize);
            count.context("not a message")?.fetch_add(1, Relaxed);
        }
        Ok(())
    }

    /// Nobody sleeps for ever, which would be a test without an end.
    #[test]
    fn each_message_is_received_once() {
        let ring = &*new_ring(2);
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| consume(ring).unwrap());
            }
            for number in 0..2 {
                scope.spawn(move || produce(ring, number).unwrap());
            }
        });
        let counts: Vec<_> =
            ring.received.iter().map(|it| it.load(Relaxed)).collect();
        assert!(counts.iter().all(|&it| it == 1), "lost, or received twice");
    }

    #[test]
    fn sleepers_hear_that_a_process_has_died() {
        let ring = &*new_ring(2);
        // More than the ring has room for, and nobody receives.
        let full = || (0..=SLOTS as u64).try_for_each(|it| ring.push(it));
        let empty = &*new_ring(1);
        thread::scope(|scope| {
            let producer = scope.spawn(full);
            let consumer = scope.spawn(|| empty.pop());
            while ring.emptied.0.sleepers.load(SeqCst) == 0
                || empty.filled.0.sleepers.load(SeqCst) == 0
            {
                thread::yield_now();
            }
            ring.give_up();
            empty.give_up();
            producer.join().unwrap().unwrap_err();
            consumer.join().unwrap().unwrap_err();
        });
        // What the listing sets there is not needed among threads.
        assert_eq!(ring.parent.load(Relaxed), 0);
    }
}

mod barrier {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::atomic::AtomicU32;
    use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
    use std::time::{Duration, Instant};
    use std::{mem, thread};

    use rustix::io::Errno;
    use rustix::thread::futex;

    const PARTIES: u32 = 4;
    const ROUNDS: u32 = super::times(10);

    macro_rules! listing {
        ($anchor:literal) => {
            include!(concat!(
                env!("OUT_DIR"),
                "/barrier_example/futex_barrier/",
                $anchor,
                ".rs"
            ));
        };
    }

    listing!("barrier");
    listing!("settle");
    listing!("futex");

    const PATIENCE: Duration = Duration::from_secs(60);

    fn new_barrier() -> Shared {
        Shared {
            arrived: AtomicU32::new(0),
            phase: AtomicU32::new(0),
            work: AtomicU32::new(0),
        }
    }

    #[test]
    fn nobody_is_a_round_ahead() {
        let shared = &new_barrier();
        let party = || {
            for round in 1..=ROUNDS {
                shared.work.fetch_add(1, Relaxed);
                assert!(shared.wait(PATIENCE, || {}), "broken in {round}");
                let work = shared.work.load(Relaxed);
                let expected = PARTIES * round..PARTIES * (round + 1);
                assert!(expected.contains(&work), "round {round}: {work}");
            }
        };
        thread::scope(|scope| {
            for _ in 0..PARTIES {
                scope.spawn(party);
            }
        });
        assert_eq!(shared.work.load(Relaxed), PARTIES * ROUNDS);
    }

    #[test]
    fn sleepers_hear_that_it_is_broken() {
        let shared = &new_barrier();
        thread::scope(|scope| {
            let party = || shared.wait(PATIENCE, || {});
            let waiting: Vec<_> =
                (1..PARTIES).map(|_| scope.spawn(party)).collect();
            while shared.arrived.load(Acquire) < PARTIES - 1 {
                thread::yield_now();
            }
            shared.break_for_all();
            for party in waiting {
                assert!(!party.join().unwrap(), "it was not complete");
            }
        });
        assert!(!shared.wait(PATIENCE, || {}), "broken for ever");
    }

    #[test]
    fn a_deadline_breaks_it() {
        let shared = new_barrier();
        assert!(!shared.wait(Duration::from_millis(1), || {}));
    }

    #[test]
    fn a_slow_action_breaks_nothing() {
        let shared = &new_barrier();
        let patience = Duration::from_millis(500);
        thread::scope(|scope| {
            let party = || {
                let complete = shared.wait(patience, || {});
                (complete, shared.work.load(Relaxed))
            };
            let waiting: Vec<_> =
                (1..PARTIES).map(|_| scope.spawn(party)).collect();
            while shared.arrived.load(Acquire) < PARTIES - 1 {
                thread::yield_now();
            }
            let complete = shared.wait(patience, || {
                thread::sleep(2 * patience);
                shared.work.store(1, Relaxed);
            });
            assert!(complete, "to the one that acted");
            for party in waiting {
                assert_eq!(party.join().unwrap(), (true, 1));
            }
        });
    }

    #[test]
    fn a_death_during_the_action_breaks_it() {
        let shared = &new_barrier();
        thread::scope(|scope| {
            // What the watcher of a dead party does.
            let party = || shared.wait(PATIENCE, || shared.break_for_all());
            let parties: Vec<_> =
                (0..PARTIES).map(|_| scope.spawn(party)).collect();
            for party in parties {
                assert!(!party.join().unwrap(), "it was not complete");
            }
        });
    }

    #[test]
    fn an_action_that_panics_breaks_it() {
        let shared = &new_barrier();
        thread::scope(|scope| {
            let party = || {
                let act = || panic!("the action fails on purpose");
                let wait = AssertUnwindSafe(|| shared.wait(PATIENCE, act));
                catch_unwind(wait).unwrap_or(false)
            };
            let parties: Vec<_> =
                (0..PARTIES).map(|_| scope.spawn(party)).collect();
            for party in parties {
                assert!(!party.join().unwrap(), "it was not complete");
            }
        });
    }

    #[test]
    fn the_longest_patience_is_no_deadline() {
        let shared = &new_barrier();
        thread::scope(|scope| {
            for _ in 0..PARTIES {
                let party = || shared.wait(Duration::MAX, || {});
                scope.spawn(move || assert!(party(), "broken"));
            }
        });
    }

    /// The deadline passes at about the time of the last arrival.
    #[test]
    fn a_round_that_is_too_late_has_no_action() {
        for attempt in 0..super::times(3) {
            let shared = &new_barrier();
            let patience = Duration::from_micros(u64::from(attempt % 300));
            let act = || {
                shared.work.fetch_add(1, Relaxed);
            };
            let party = || shared.wait(patience, act);
            thread::scope(|scope| {
                let parties: Vec<_> =
                    (0..PARTIES).map(|_| scope.spawn(party)).collect();
                let complete: Vec<_> =
                    parties.into_iter().map(|it| it.join().unwrap()).collect();
                let acted = shared.work.load(Relaxed) == 1;
                assert_eq!(complete, [acted; PARTIES as usize]);
            });
        }
    }
}
