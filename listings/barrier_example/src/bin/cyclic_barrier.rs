// ANCHOR: all
//! A barrier with an action for each round and a deadline.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::process::{
    Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio,
};
use std::time::{Duration, Instant};
use std::{env, process, thread};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

const ARRIVED: u8 = b'a';
const GO: u8 = b'g';
const BROKEN: u8 = b'b';
const HEARD_BROKEN: i32 = 2;

fn main() -> Result<()> {
    match env::args_os().nth(1) {
        None => parent(),
        Some(role) if role == "prompt" => prompt(),
        Some(role) if role == "late" => late(),
        Some(role) => {
            bail!("unknown role {role:?}: expected \"prompt\" or \"late\"")
        }
    }
}

// ANCHOR: parent
fn parent() -> Result<()> {
    let roles = ["prompt", "prompt", "late"];
    let mut parties = Vec::new();
    let outcome = lead(roles, &mut parties);
    let ends = join(parties, Duration::from_secs(10));
    outcome?;
    for (role, end) in roles.iter().zip(ends) {
        writeln!(io::stdout(), "{role}: {}", end?)?;
    }
    Ok(())
}

fn lead(roles: [&str; 3], parties: &mut Vec<Party>) -> Result<()> {
    let mut out = io::stdout();
    for role in roles {
        parties.push(start(role)?);
    }
    let ample = Duration::from_secs(10);
    let brief = Duration::from_millis(100);
    for (number, patience) in [(1, ample), (2, ample), (3, brief)] {
        let action = || {
            writeln!(io::stdout(), "all have arrived for round {number}")
                .context("cannot print")
        };
        match round(parties, patience, action)? {
            Round::Complete => writeln!(out, "round {number} is complete")?,
            Round::Broken(why) => {
                writeln!(out, "round {number} is broken: {why}")?;
                break;
            }
        }
    }
    Ok(())
}
// ANCHOR_END: parent

// ANCHOR: start
struct Party {
    process: Child,
    arrivals: ChildStdout,
    answers: ChildStdin,
}

fn start(role: &str) -> Result<Party> {
    let mut process = Command::new(env::current_exe()?)
        .arg(role)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start the {role} party"))?;
    let arrivals = process.stdout.take().context("no pipe from a party")?;
    let answers = process.stdin.take().context("no pipe to a party")?;
    Ok(Party {
        process,
        arrivals,
        answers,
    })
}
// ANCHOR_END: start

// ANCHOR: join
/// Waits for all parties; kills those that have not ended after `patience`.
fn join(parties: Vec<Party>, patience: Duration) -> Vec<Result<ExitStatus>> {
    let deadline = Instant::now().checked_add(patience);
    let mut ending = Vec::new();
    for party in parties {
        // Without `answers`: whoever waits for one reads the end of file.
        ending.push((party.process, party.arrivals));
    }
    let mut ends = Vec::new();
    for (mut process, mut arrivals) in ending {
        if !comes_to_its_end(&mut arrivals, deadline) {
            // An error means that it has ended in this moment.
            let _ = process.kill();
        }
        ends.push(process.wait().context("cannot wait for a party"));
    }
    ends
}

/// The pipe of a party ends with it. False at the deadline.
fn comes_to_its_end(
    arrivals: &mut ChildStdout,
    deadline: Option<Instant>,
) -> bool {
    loop {
        let mut end = [PollFd::new(arrivals.as_fd(), PollFlags::POLLIN)];
        match poll_until(&mut end, deadline) {
            Ok(true) if arrivals.read(&mut [0]).is_ok_and(|n| n > 0) => {}
            Ok(true) => return true,
            _ => return false,
        }
    }
}
// ANCHOR_END: join

// ANCHOR: round
enum Round {
    Complete,
    Broken(&'static str),
}

/// After a broken or a failed round there must not be another.
fn round(
    parties: &mut [Party],
    patience: Duration,
    action: impl FnOnce() -> Result<()>,
) -> Result<Round> {
    let mut outcome = arrivals(parties, patience);
    if let Ok(Round::Complete) = outcome {
        outcome = action().map(|()| Round::Complete);
    }
    let answer = match outcome {
        Ok(Round::Complete) => GO,
        _ => BROKEN,
    };
    for party in parties {
        // A party that has ended cannot be told, and need not be.
        let _ = party.answers.write_all(&[answer]);
    }
    outcome
}

fn arrivals(parties: &mut [Party], patience: Duration) -> Result<Round> {
    let mut waiting = vec![false; parties.len()];
    let mut deadline = None;
    while waiting.contains(&false) {
        match next_event(parties, &mut waiting, deadline)? {
            Event::Arrival => {}
            Event::End => return Ok(Round::Broken("a party has ended")),
            Event::TooLate => return Ok(Round::Broken("a party is too late")),
        }
        // The clock runs while somebody waits. `None` is no deadline: the
        // time is so long that no clock shows its end.
        deadline = deadline.or(Instant::now().checked_add(patience));
    }
    Ok(Round::Complete)
}
// ANCHOR_END: round

// ANCHOR: next_event
enum Event {
    Arrival,
    End,
    TooLate,
}

/// Sleeps until something happens, then hears all who have arrived by then.
fn next_event(
    parties: &mut [Party],
    waiting: &mut [bool],
    deadline: Option<Instant>,
) -> Result<Event> {
    let mut ends: Vec<_> = parties
        .iter()
        .map(|party| PollFd::new(party.arrivals.as_fd(), PollFlags::POLLIN))
        .collect();
    // With some luck, several arrive now, and one look finds them all.
    thread::yield_now();
    if !poll_until(&mut ends, deadline)? {
        return Ok(Event::TooLate);
    }
    let stirred: Vec<_> = ends.iter().map(|e| e.any() == Some(true)).collect();
    for (party, stirred) in stirred.into_iter().enumerate() {
        let mut byte = [0];
        if !stirred {
            continue;
        }
        match parties[party].arrivals.read_exact(&mut byte) {
            Ok(()) if byte == [ARRIVED] => waiting[party] = true,
            Ok(()) => bail!("heard {byte:?}, expected {:?}", [ARRIVED]),
            Err(_) => return Ok(Event::End),
        }
    }
    Ok(Event::Arrival)
}
// ANCHOR_END: next_event

// ANCHOR: poll_until
/// Waits until one of the ends stirs. False at the deadline.
fn poll_until(ends: &mut [PollFd], deadline: Option<Instant>) -> Result<bool> {
    loop {
        let timeout = match deadline {
            None => PollTimeout::NONE,
            Some(instant) => {
                let left = instant.saturating_duration_since(Instant::now());
                // Rounded up: it must not end before the deadline.
                let left = left.as_micros().div_ceil(1000);
                PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
            }
        };
        match poll(ends, timeout) {
            // A signal that this process handles: the clock runs on.
            Err(Errno::EINTR) => {}
            // The longest time-out is shorter than some deadlines.
            Ok(0) if deadline.is_some_and(|it| Instant::now() < it) => {}
            count => return Ok(count.context("cannot poll the parties")? > 0),
        }
    }
}
// ANCHOR_END: poll_until

// ANCHOR: late
fn prompt() -> Result<()> {
    let mut coordinator = coordinator()?;
    while wait(&mut coordinator)? {}
    process::exit(HEARD_BROKEN);
}

fn late() -> Result<()> {
    let mut coordinator = coordinator()?;
    if wait(&mut coordinator)? && wait(&mut coordinator)? {
        // Its third round's work takes until the others have given up.
        let answers = coordinator.answers.as_fd();
        poll_until(&mut [PollFd::new(answers, PollFlags::POLLIN)], None)?;
        while wait(&mut coordinator)? {}
    }
    process::exit(HEARD_BROKEN);
}
// ANCHOR_END: late

// ANCHOR: wait
struct Coordinator {
    arrivals: File,
    answers: File,
}

fn coordinator() -> Result<Coordinator> {
    // Without the buffers of `io::stdin` and `io::stdout`.
    let arrivals = io::stdout().as_fd().try_clone_to_owned()?;
    let answers = io::stdin().as_fd().try_clone_to_owned()?;
    Ok(Coordinator {
        arrivals: File::from(arrivals),
        answers: File::from(answers),
    })
}

/// True once all have arrived, false if the barrier is broken.
fn wait(coordinator: &mut Coordinator) -> Result<bool> {
    coordinator
        .arrivals
        .write_all(&[ARRIVED])
        .context("cannot say \"arrived\"")?;
    // The answer may be there in a moment: that saves falling asleep.
    thread::yield_now();
    let mut answer = [0];
    coordinator
        .answers
        .read_exact(&mut answer)
        .context("the coordinator is gone")?;
    match answer {
        [GO] => Ok(true),
        [BROKEN] => Ok(false),
        _ => bail!("heard {answer:?}, expected {:?} or {:?}", [GO], [BROKEN]),
    }
}
// ANCHOR_END: wait
// ANCHOR_END: all
