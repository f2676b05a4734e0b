// ANCHOR: all
//! Proves that a party that leaves breaks the barrier, whichever way it left.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::{env, process};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, raise};

const GO: u8 = b'g';
const BROKEN: u8 = b'b';
const HEARD_BROKEN: i32 = 2;

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => parent(),
        Some("party") => party(usize::MAX),
        Some("leaver") => party(1),
        Some("victim") => {
            party(1)?;
            raise(Signal::SIGKILL).context("cannot kill this process")
        }
        Some(role) => bail!(
            "unknown role {role:?}: expected \"party\", \"leaver\" or \"victim\""
        ),
    }
}

// ANCHOR: proof
fn parent() -> Result<()> {
    for role in ["leaver", "victim"] {
        let (complete, ends) = run(["party", "party", role])?;
        assert_eq!(complete, 1, "rounds before the {role} is missing");
        assert_eq!(ends[0].code(), Some(HEARD_BROKEN));
        assert_eq!(ends[1].code(), Some(HEARD_BROKEN));
        println!("{role}: {}; both others heard of it", ends[2]);
    }
    Ok(())
}
// ANCHOR_END: proof

fn run(roles: [&str; 3]) -> Result<(usize, Vec<ExitStatus>)> {
    let mut children = Vec::new();
    let mut parties = Vec::new();
    for role in roles {
        let (child, party) = start(role)?;
        children.push(child);
        parties.push(party);
    }
    let mut complete = 0;
    while parties.iter_mut().all(|p| p.read_exact(&mut [0]).is_ok()) {
        tell(&mut parties, GO);
        complete += 1;
    }
    tell(&mut parties, BROKEN);
    let ends = children.iter_mut().map(Child::wait);
    Ok((complete, ends.collect::<io::Result<_>>()?))
}

fn tell(parties: &mut [UnixStream], answer: u8) {
    for party in parties {
        // One that has left cannot be told.
        let _ = party.write_all(&[answer]);
    }
}

fn party(rounds: usize) -> Result<()> {
    let stdin = io::stdin().as_fd().try_clone_to_owned()?;
    let mut coordinator = UnixStream::from(stdin);
    for _ in 0..rounds {
        coordinator.write_all(b"a").context("cannot arrive")?;
        let mut answer = [0];
        coordinator.read_exact(&mut answer).context("no answer")?;
        if answer == [BROKEN] {
            process::exit(HEARD_BROKEN);
        }
    }
    Ok(())
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
