// ANCHOR: all
//! Exercise: a party breaks the barrier on purpose.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;
use std::{env, process, thread};

use anyhow::{Context, Result, bail, ensure};

const ARRIVED: u8 = b'a';
const ABORT: u8 = b'x';
const GO: u8 = b'g';
const BROKEN: u8 = b'b';
const HEARD_BROKEN: i32 = 2;
const HEARD_TOO_EARLY: i32 = 3;
const PATIENCE: Duration = Duration::from_secs(5);

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => {
            limit_time();
            check(&run()?)
        }
        Some("party") => party(ARRIVED),
        Some("doubter") => party(ABORT),
        Some(role) => {
            bail!("unknown role {role:?}: expected \"party\" or \"doubter\"")
        }
    }
}

/// An answer that hangs is no answer.
fn limit_time() {
    thread::spawn(|| {
        thread::sleep(PATIENCE);
        eprintln!("not solved yet: it hangs, no result after {PATIENCE:?}");
        process::exit(1)
    });
}

fn check(ends: &[ExitStatus]) -> Result<()> {
    for end in ends {
        ensure!(
            end.code() != Some(HEARD_TOO_EARLY),
            "not solved yet: the barrier broke before the abort"
        );
        ensure!(
            end.code() == Some(HEARD_BROKEN),
            "not solved yet: a party went on after the abort: {end}"
        );
    }
    println!("solved: all parties heard of the abort");
    Ok(())
}

// ANCHOR: task
/// Waits for every party. False if one of them is gone or has aborted.
fn all_arrived(parties: &mut [UnixStream]) -> bool {
    parties.iter_mut().all(|party| {
        let mut word = [0];
        party.read_exact(&mut word).is_ok()
    })
}
// ANCHOR_END: task

/// Says `word` in the second round and leaves after it.
fn party(word: u8) -> Result<()> {
    let stdin = io::stdin().as_fd().try_clone_to_owned()?;
    let mut coordinator = UnixStream::from(stdin);
    for (word, end) in [(ARRIVED, HEARD_TOO_EARLY), (word, HEARD_BROKEN)] {
        coordinator.write_all(&[word]).context("cannot arrive")?;
        let mut answer = [0];
        coordinator.read_exact(&mut answer).context("no answer")?;
        if answer == [BROKEN] {
            process::exit(end);
        }
    }
    Ok(())
}

fn run() -> Result<Vec<ExitStatus>> {
    let mut children = Vec::new();
    let mut parties = Vec::new();
    for role in ["party", "doubter", "party"] {
        let (child, party) = start(role)?;
        children.push(child);
        parties.push(party);
    }
    for _ in 0..2 {
        let answer = if all_arrived(&mut parties) {
            GO
        } else {
            BROKEN
        };
        for party in &mut parties {
            // A party that has ended cannot be told.
            let _ = party.write_all(&[answer]);
        }
    }
    let ends = children.iter_mut().map(Child::wait);
    Ok(ends.collect::<io::Result<_>>()?)
}

fn start(role: &str) -> Result<(Child, UnixStream)> {
    let (ours, theirs) = UnixStream::pair()?;
    let child = Command::new(env::current_exe()?)
        .arg(role)
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .spawn()
        .context("cannot start a party")?;
    Ok((child, ours))
}
// ANCHOR_END: all
