//! The barriers of `cyclic_barrier` and `futex_barrier` against Python's.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, process, thread};

use anyhow::{Context, Result, bail, ensure};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::report::{Row, python, times_faster};

const PARTIES: u32 = 8;
const WARM_UP: u32 = 100;
const PATIENCE: Duration = Duration::from_secs(10);

pub fn rows() -> Vec<Row> {
    let coordinator = Row {
        name: "barrier_coordinator",
        work: "8 processes meet at a coordinator, against Barrier",
        reach: 4.0,
        rounds: 11,
        ours: Box::new(|| time(5_000)),
        rival: python("barrier.py", &["1000"], 1000),
        ratio: times_faster,
    };
    #[cfg(target_os = "linux")]
    let futex = Row {
        name: "barrier_futex",
        work: "8 processes meet at a futex, against Barrier",
        reach: 9.0,
        rounds: 11,
        ours: Box::new(|| futex::time(5_000)),
        rival: python("barrier.py", &["1000"], 1000),
        ratio: times_faster,
    };
    vec![
        coordinator,
        #[cfg(target_os = "linux")]
        futex,
    ]
}

pub fn play(role: &str, args: &[String]) -> Result<()> {
    match role {
        "barrier_party" => {
            let mut coordinator = coordinator()?;
            while wait(&mut coordinator)? {}
            process::exit(HEARD_BROKEN);
        }
        #[cfg(target_os = "linux")]
        "barrier_futex" => futex::party(args),
        _ => bail!("unknown role {role:?} with {args:?}"),
    }
}

const ARRIVED: u8 = b'a';
const GO: u8 = b'g';
const BROKEN: u8 = b'b';
const HEARD_BROKEN: i32 = 2;

macro_rules! listing {
    ($anchor:literal) => {
        include!(concat!(
            env!("OUT_DIR"),
            "/barrier_example/",
            $anchor,
            ".rs"
        ));
    };
}

listing!("cyclic_barrier/start");
listing!("cyclic_barrier/round");
listing!("cyclic_barrier/next_event");
listing!("cyclic_barrier/poll_until");
listing!("cyclic_barrier/wait");

/// The time of one round.
fn time(rounds: u32) -> Result<Duration> {
    let mut parties = Vec::new();
    for _ in 0..PARTIES {
        parties.push(start("role:barrier_party")?);
    }
    let mut start = Instant::now();
    for number in 1..=WARM_UP + rounds {
        match round(&mut parties, PATIENCE, || Ok(()))? {
            Round::Complete => {}
            Round::Broken(why) => bail!("round {number} is broken: {why}"),
        }
        if number == WARM_UP {
            start = Instant::now();
        }
    }
    let took = start.elapsed();
    for mut party in parties {
        party.answers.write_all(&[BROKEN])?;
        let status = party.process.wait()?;
        ensure!(status.code() == Some(HEARD_BROKEN), "a party: {status}");
    }
    Ok(took / rounds)
}

#[cfg(target_os = "linux")]
mod futex {
    use std::os::fd::{AsFd, OwnedFd};
    use std::process::{Command, Stdio};
    use std::sync::atomic::AtomicU32;
    use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
    use std::time::{Duration, Instant};
    use std::{env, io, mem, thread};

    use anyhow::{Context, Result, ensure};
    use nix::fcntl::{FcntlArg, SealFlag, fcntl};
    use nix::sys::memfd::{MFdFlags, memfd_create};
    use nix::sys::mman::{MapFlags, ProtFlags, mmap};
    use nix::sys::stat::fstat;
    use nix::unistd::ftruncate;
    use rustix::io::Errno;
    use rustix::thread::futex;

    use super::{PARTIES, PATIENCE, WARM_UP};

    listing!("futex_barrier/barrier");
    listing!("futex_barrier/settle");
    listing!("futex_barrier/futex");
    listing!("futex_barrier/map");

    /// The time of one round, as one of the parties has measured it.
    pub fn time(rounds: u32) -> Result<Duration> {
        let memory = new_memory()?;
        let shared = map(&memory)?;
        let mut children = Vec::new();
        for _ in 1..PARTIES {
            let party = Command::new(env::current_exe()?)
                .args(["role:barrier_futex", &rounds.to_string()])
                .stdin(Stdio::from(memory.try_clone()?))
                .spawn();
            children.push(party.context("cannot start a party")?);
        }
        let took = take_part(shared, rounds);
        if took.is_err() {
            // Nobody waits for a party that is gone.
            shared.break_for_all();
        }
        for mut party in children {
            let status = party.wait()?;
            ensure!(status.success(), "a party: {status}");
        }
        Ok(took? / rounds)
    }

    pub fn party(args: &[String]) -> Result<()> {
        let rounds = args.first().context("missing the number of rounds")?;
        let rounds = rounds.parse()?;
        let shared = map(io::stdin())?;
        take_part(shared, rounds)
            .map(|_| ())
            .inspect_err(|_| shared.break_for_all())
    }

    /// Meets the others and checks each time that all had arrived, as the
    /// listing's party does.
    fn take_part(shared: &Shared, rounds: u32) -> Result<Duration> {
        let mut start = Instant::now();
        for round in 1..=WARM_UP + rounds {
            shared.work.fetch_add(1, Relaxed);
            ensure!(shared.wait(PATIENCE, || {}), "the barrier is broken");
            let work = shared.work.load(Relaxed);
            let expected = PARTIES * round..PARTIES * (round + 1);
            ensure!(expected.contains(&work), "round {round}: work is {work}");
            if round == WARM_UP {
                start = Instant::now();
            }
        }
        Ok(start.elapsed())
    }
}
