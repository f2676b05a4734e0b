// ANCHOR: all
//! Kills one of three parties, and the barrier breaks for the other two.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::{env, process};

use anyhow::{Context, Result, bail, ensure};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, raise};

const ARRIVED: u8 = b'a';
const GO: u8 = b'g';
const BROKEN: u8 = b'b';
const HEARD_BROKEN: i32 = 2;

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => parent(),
        Some("steady") => party(3),
        Some("short-lived") => {
            party(1)?;
            raise(Signal::SIGKILL).context("cannot kill this process")
        }
        Some(role) => {
            bail!(
                "unknown role {role:?}: expected \"steady\" or \"short-lived\""
            )
        }
    }
}

// ANCHOR: parent
fn parent() -> Result<()> {
    let mut children = Vec::new();
    let mut parties = Vec::new();
    for role in ["steady", "steady", "short-lived"] {
        let (child, stream) = start(role)?;
        children.push((role, child));
        parties.push(stream);
    }
    let complete = coordinate(&mut parties);
    if complete.is_err() {
        // Whoever waits for an answer reads the end of file.
        parties.clear();
    }
    for (role, child) in &mut children {
        println!("{role}: {}", child.wait()?);
    }
    complete?;
    Ok(())
}
// ANCHOR_END: parent

// ANCHOR: coordinate
/// Opens the barrier in each round that is complete, until a party ends.
/// Returns how many rounds were complete.
fn coordinate(parties: &mut [UnixStream]) -> Result<usize> {
    for round in 1.. {
        let mut waiting = vec![false; parties.len()];
        while waiting.contains(&false) {
            if let Some(party) = next_event(parties)? {
                waiting[party] = true;
                continue;
            }
            println!("round {round} is broken");
            tell(parties, BROKEN);
            return Ok(round - 1);
        }
        println!("round {round} is complete");
        tell(parties, GO);
    }
    bail!("there is no round after the last number")
}
// ANCHOR_END: coordinate

// ANCHOR: next_event
/// Waits for the next arrival and says whose it is; `None` if a party ended.
fn next_event(parties: &mut [UnixStream]) -> Result<Option<usize>> {
    let mut ends: Vec<_> = parties
        .iter()
        .map(|party| PollFd::new(party.as_fd(), PollFlags::POLLIN))
        .collect();
    // A signal that this process handles ends `poll` early.
    while let Err(error) = poll(&mut ends, PollTimeout::NONE) {
        ensure!(error == Errno::EINTR, "cannot poll the parties: {error}");
    }
    let party = ends.iter().position(|end| end.any() == Some(true));
    let party = party.context("poll returned without an event")?;
    let mut byte = [0];
    match parties[party].read_exact(&mut byte) {
        Ok(()) if byte == [ARRIVED] => Ok(Some(party)),
        Ok(()) => bail!("heard {byte:?}, expected {:?}", [ARRIVED]),
        Err(_) => Ok(None),
    }
}
// ANCHOR_END: next_event

fn tell(parties: &mut [UnixStream], answer: u8) {
    for party in parties {
        // A party that has ended cannot be told, and need not be.
        let _ = party.write_all(&[answer]);
    }
}

// ANCHOR: party
fn party(rounds: usize) -> Result<()> {
    let stdin = io::stdin().as_fd().try_clone_to_owned()?;
    let mut coordinator = UnixStream::from(stdin);
    for _ in 0..rounds {
        if !wait(&mut coordinator)? {
            process::exit(HEARD_BROKEN);
        }
    }
    Ok(())
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
// ANCHOR_END: party

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
