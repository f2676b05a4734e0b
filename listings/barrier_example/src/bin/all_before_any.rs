// ANCHOR: all
//! Proves that no party leaves a round before the last has arrived.

use std::env;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

const PARTIES: usize = 4;
const ROUNDS: usize = 50;

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => parent(),
        Some("party") => party(),
        Some(role) => bail!("unknown role {role:?}: expected \"party\""),
    }
}

// ANCHOR: proof
fn parent() -> Result<()> {
    let (log, children) = run_all_rounds()?;
    let log = read_to_end(log, children)?;
    let lines: Vec<&str> = log.lines().collect();
    assert_eq!(lines.len(), 2 * PARTIES * ROUNDS);
    for round in 1..=ROUNDS {
        let before = format!("before {round}");
        let after = format!("after {round}");
        let last_before = lines.iter().rposition(|line| *line == before);
        let first_after = lines.iter().position(|line| *line == after);
        assert!(last_before < first_after, "round {round}");
    }
    println!("{PARTIES} parties, {ROUNDS} rounds: all before any after");
    Ok(())
}
// ANCHOR_END: proof

fn party() -> Result<()> {
    let stdin = io::stdin().as_fd().try_clone_to_owned()?;
    let mut coordinator = UnixStream::from(stdin);
    for round in 1..=ROUNDS {
        println!("before {round}");
        coordinator.write_all(b"a")?;
        let mut answer = [0];
        coordinator.read_exact(&mut answer)?;
        println!("after {round}");
    }
    Ok(())
}

/// All parties write to one pipe, which keeps their lines in order.
fn run_all_rounds() -> Result<(PipeReader, Vec<Child>)> {
    let (log, writer) = io::pipe()?;
    let mut children = Vec::new();
    let mut parties = Vec::new();
    for _ in 0..PARTIES {
        let (child, party) = start(writer.try_clone()?)?;
        children.push(child);
        parties.push(party);
    }
    for _ in 0..ROUNDS {
        for party in &mut parties {
            party.read_exact(&mut [0]).context("a party has ended")?;
        }
        for party in &mut parties {
            party.write_all(b"g").context("a party has ended")?;
        }
    }
    Ok((log, children))
}

fn start(log: PipeWriter) -> Result<(Child, UnixStream)> {
    let (ours, theirs) = UnixStream::pair()?;
    let child = Command::new(env::current_exe()?)
        .arg("party")
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::from(log))
        .spawn()
        .context("cannot start a party")?;
    Ok((child, ours))
}

fn read_to_end(mut log: PipeReader, children: Vec<Child>) -> Result<String> {
    let mut text = String::new();
    log.read_to_string(&mut text)?;
    for mut child in children {
        let status = child.wait()?;
        ensure!(status.success(), "a party ended with {status}");
    }
    Ok(text)
}
// ANCHOR_END: all
