// ANCHOR: all
//! One of two parties is killed after the first step, and the other is told.

use std::env;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, raise};

const STEPS: usize = 2;

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => parent(),
        Some("steady") => party(STEPS),
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

fn party(steps: usize) -> Result<()> {
    let stdin = io::stdin().as_fd().try_clone_to_owned()?;
    let mut coordinator = UnixStream::from(stdin);
    for step in 1..=steps {
        println!("step {step}");
        wait(&mut coordinator)?;
    }
    Ok(())
}

// ANCHOR: broken
fn coordinate(parties: &mut [(Child, UnixStream)]) {
    for step in 1..=STEPS {
        let mut arrivals = parties.iter_mut().map(|(_, it)| it);
        if !arrivals.all(|it| it.read_exact(&mut [0]).is_ok()) {
            return tell(parties, b"b");
        }
        println!("--- both have taken step {step} ---");
        tell(parties, b"g");
    }
}

fn tell(parties: &mut [(Child, UnixStream)], answer: &[u8]) {
    for (_, party) in parties {
        // A party that has ended cannot be told.
        let _ = party.write_all(answer);
    }
}

fn wait(coordinator: &mut UnixStream) -> Result<()> {
    coordinator.write_all(b"a").context("cannot arrive")?;
    let answer = &mut [0];
    coordinator.read_exact(answer).context("no answer")?;
    ensure!(answer == b"g", "the barrier is broken");
    Ok(())
}
// ANCHOR_END: broken

fn parent() -> Result<()> {
    let roles = ["steady", "short-lived"];
    let mut parties = [start(roles[0])?, start(roles[1])?];
    coordinate(&mut parties);
    for (role, (child, _)) in roles.iter().zip(&mut parties) {
        let status = child.wait().context("cannot wait for a party")?;
        println!("{role}: {status}");
    }
    Ok(())
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
