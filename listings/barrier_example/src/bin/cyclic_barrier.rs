// ANCHOR: all
//! A barrier with an action for each round and a deadline.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, process, thread};

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
    let roles = ["prompt", "prompt", "late"];
    let mut parties = Vec::new();
    for role in roles {
        parties.push(start(role)?);
    }
    let ample = Duration::from_secs(10);
    let brief = Duration::from_millis(100);
    for (number, patience) in [(1, ample), (2, ample), (3, brief)] {
        let action = || println!("all have arrived for round {number}");
        match round(&mut parties, patience, action)? {
            Round::Complete => println!("round {number} is complete"),
            Round::Broken(why) => {
                println!("round {number} is broken: {why}");
                break;
            }
        }
    }
    for (role, party) in roles.iter().zip(&mut parties) {
        println!("{role}: {}", party.process.wait()?);
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

// ANCHOR: round
enum Round {
    Complete,
    Broken(&'static str),
}

/// After a broken round there must not be another.
fn round(
    parties: &mut [Party],
    patience: Duration,
    action: impl FnOnce(),
) -> Result<Round> {
    let mut waiting = vec![false; parties.len()];
    let mut deadline = None;
    let outcome = loop {
        if !waiting.contains(&false) {
            break Round::Complete;
        }
        match next_event(parties, &mut waiting, deadline)? {
            Event::Arrival => {}
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
        let _ = party.answers.write_all(&[answer]);
    }
    Ok(outcome)
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
    let timeout = match deadline {
        None => PollTimeout::NONE,
        Some(instant) => {
            let left = instant.saturating_duration_since(Instant::now());
            // Rounded up: it must not fire before the deadline.
            PollTimeout::try_from(left.as_millis() + 1)?
        }
    };
    // With some luck, several arrive now, and one look finds them all.
    thread::yield_now();
    if poll(&mut ends, timeout).context("cannot poll the parties")? == 0 {
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
        poll(
            &mut [PollFd::new(answers, PollFlags::POLLIN)],
            PollTimeout::NONE,
        )?;
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
