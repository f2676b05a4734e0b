// ANCHOR: all
//! Two parties meet after each of two steps.

use std::env;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};

const STEPS: usize = 2;

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => parent(),
        Some("party") => party(),
        Some(role) => bail!("unknown role {role:?}: expected \"party\""),
    }
}

// ANCHOR: rounds
fn coordinate(parties: &mut [(Child, UnixStream)]) -> Result<()> {
    for step in 1..=STEPS {
        for (_, party) in parties.iter_mut() {
            party.read_exact(&mut [0]).context("a party has ended")?;
        }
        println!("--- both have taken step {step} ---");
        for (_, party) in parties.iter_mut() {
            party.write_all(b"g").context("a party has ended")?;
        }
    }
    Ok(())
}

fn party() -> Result<()> {
    let stdin = io::stdin().as_fd().try_clone_to_owned()?;
    let mut coordinator = UnixStream::from(stdin);
    for step in 1..=STEPS {
        println!("step {step}");
        wait(&mut coordinator)?;
    }
    Ok(())
}
// ANCHOR_END: rounds

fn wait(coordinator: &mut UnixStream) -> Result<()> {
    coordinator.write_all(b"a").context("cannot arrive")?;
    let answer = &mut [0];
    coordinator.read_exact(answer).context("no answer")
}

fn parent() -> Result<()> {
    let mut parties = [start()?, start()?];
    let met = coordinate(&mut parties);
    for (mut child, connection) in parties {
        drop(connection); // A party that still waits gets an end or an error.
        child.wait().context("cannot wait for a party")?;
    }
    met
}

fn start() -> Result<(Child, UnixStream)> {
    let (ours, theirs) = UnixStream::pair()?;
    let child = Command::new(env::current_exe()?)
        .arg("party")
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .spawn()
        .context("cannot start a party")?;
    Ok((child, ours))
}
// ANCHOR_END: all
