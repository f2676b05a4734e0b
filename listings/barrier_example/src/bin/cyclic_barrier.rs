// ANCHOR: all
//! A barrier with an action for each round and a deadline.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, process};

use anyhow::{Context, Result, bail};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

const ARRIVED: u8 = b'a';
const GO: u8 = b'g';
const BROKEN: u8 = b'b';
const HEARD_BROKEN: i32 = 2;

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => parent(),
        Some("prompt") => prompt(),
        Some("late") => late(),
        Some(role) => {
            bail!("unknown role {role:?}: expected \"prompt\" or \"late\"")
        }
    }
}

// ANCHOR: parent
fn parent() -> Result<()> {
    let mut children = Vec::new();
    let mut parties = Vec::new();
    for role in ["prompt", "prompt", "late"] {
        let (child, stream) = start(role)?;
        children.push((role, child));
        parties.push(stream);
    }
    let ample = Duration::from_secs(10);
    let brief = Duration::from_millis(100);
    for (number, patience) in [(1, ample), (2, ample), (3, brief)] {
        let action = || println!("all have arrived for round {number}");
        match round(&mut parties, patience, action)? {
            Round::Complete => println!("round {number} is complete"),
            Round::Broken(why) => println!("round {number} is broken: {why}"),
        }
    }
    for (role, child) in &mut children {
        println!("{role}: {}", child.wait()?);
    }
    Ok(())
}
// ANCHOR_END: parent

// ANCHOR: round
enum Round {
    Complete,
    Broken(&'static str),
}

fn round(
    parties: &mut [UnixStream],
    patience: Duration,
    action: impl FnOnce(),
) -> Result<Round> {
    let mut waiting = vec![false; parties.len()];
    let mut deadline = None;
    let outcome = loop {
        if !waiting.contains(&false) {
            break Round::Complete;
        }
        match next_event(parties, deadline)? {
            Event::Arrival(party) => waiting[party] = true,
            Event::End => break Round::Broken("a party has ended"),
            Event::TooLate => break Round::Broken("a party is too late"),
        }
        // The clock runs while somebody waits.
        deadline.get_or_insert_with(|| Instant::now() + patience);
    };
    let answer = match outcome {
        Round::Complete => GO,
        Round::Broken(_) => BROKEN,
    };
    if answer == GO {
        action();
    }
    for party in parties {
        // A party that has ended cannot be told, and need not be.
        let _ = party.write_all(&[answer]);
    }
    Ok(outcome)
}
// ANCHOR_END: round

// ANCHOR: next_event
enum Event {
    Arrival(usize),
    End,
    TooLate,
}

fn next_event(
    parties: &mut [UnixStream],
    deadline: Option<Instant>,
) -> Result<Event> {
    let mut ends: Vec<_> = parties
        .iter()
        .map(|party| PollFd::new(party.as_fd(), PollFlags::POLLIN))
        .collect();
    let timeout = match deadline {
        None => PollTimeout::NONE,
        Some(instant) => {
            let left = instant.saturating_duration_since(Instant::now());
            PollTimeout::try_from(left)?
        }
    };
    if poll(&mut ends, timeout).context("cannot poll the parties")? == 0 {
        return Ok(Event::TooLate);
    }
    let party = ends.iter().position(|end| end.any() == Some(true));
    let party = party.context("poll returned without an event")?;
    let mut byte = [0];
    match parties[party].read_exact(&mut byte) {
        Ok(()) if byte == [ARRIVED] => Ok(Event::Arrival(party)),
        Ok(()) => bail!("heard {byte:?}, expected {:?}", [ARRIVED]),
        Err(_) => Ok(Event::End),
    }
}
// ANCHOR_END: next_event

// ANCHOR: late
fn prompt() -> Result<()> {
    let mut coordinator = coordinator()?;
    while wait(&mut coordinator)? {}
    process::exit(HEARD_BROKEN);
}

fn late() -> Result<()> {
    let mut coordinator = coordinator()?;
    wait(&mut coordinator)?;
    wait(&mut coordinator)?;
    // Its third round's work takes until the others have given up.
    let mut ends = [PollFd::new(coordinator.as_fd(), PollFlags::POLLIN)];
    poll(&mut ends, PollTimeout::NONE)?;
    while wait(&mut coordinator)? {}
    process::exit(HEARD_BROKEN);
}
// ANCHOR_END: late

fn coordinator() -> Result<UnixStream> {
    let stdin = io::stdin().as_fd().try_clone_to_owned()?;
    Ok(UnixStream::from(stdin))
}

/// True once all have arrived, false if the barrier is broken.
fn wait(coordinator: &mut UnixStream) -> Result<bool> {
    coordinator
        .write_all(&[ARRIVED])
        .context("cannot say \"arrived\"")?;
    let mut answer = [0];
    coordinator
        .read_exact(&mut answer)
        .context("the coordinator is gone")?;
    match answer {
        [GO] => Ok(true),
        [BROKEN] => Ok(false),
        _ => bail!("heard {answer:?}, expected {:?} or {:?}", [GO], [BROKEN]),
    }
}

fn start(role: &str) -> Result<(Child, UnixStream)> {
    let (ours, theirs) = UnixStream::pair()?;
    let child = Command::new(env::current_exe()?)
        .arg(role)
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .spawn()
        .with_context(|| format!("cannot start the {role} party"))?;
    Ok((child, ours))
}
// ANCHOR_END: all
