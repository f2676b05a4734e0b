// ANCHOR: all
//! Proves that no party leaves a round before the last has arrived.

use std::io::{self, PipeWriter, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use std::{env, thread};

use anyhow::{Context, Result, anyhow, bail, ensure};

const PARTIES: usize = 4;
const ROUNDS: usize = 50;
const ARRIVED: u8 = b'a';
const GO: u8 = b'g';
const BROKEN: u8 = b'b';

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => parent(),
        Some("party") => party(env::args().nth(2)),
        Some(role) => bail!("unknown role {role:?}: expected \"party\""),
    }
}

// ANCHOR: proof
fn parent() -> Result<()> {
    let log = log_of_all_rounds()?;
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

fn party(number: Option<String>) -> Result<()> {
    let number: usize =
        number.context("missing the party's number")?.parse()?;
    let stdin = io::stdin().as_fd().try_clone_to_owned()?;
    let mut coordinator = UnixStream::from(stdin);
    for round in 1..=ROUNDS {
        if round % PARTIES == number {
            // Late on purpose, each in its turn: whoever does not wait for
            // this party has gone on long before it arrives.
            thread::sleep(Duration::from_millis(2));
        }
        println!("before {round}");
        meet(&mut coordinator)?;
        println!("after {round}");
    }
    Ok(())
}

/// All parties write to one pipe, which keeps their lines in order.
fn log_of_all_rounds() -> Result<String> {
    let (mut log, writer) = io::pipe()?;
    let mut children = Vec::new();
    let mut parties = Vec::new();
    for number in 0..PARTIES {
        let (child, party) = start(number, writer.try_clone()?)?;
        children.push(child);
        parties.push(party);
    }
    drop(writer);
    // The log fits into its pipe, so nobody has to read it meanwhile.
    let led = coordinate(&mut parties, ROUNDS, |_| Ok(()));
    drop(parties);
    let mut text = String::new();
    let read = log.read_to_string(&mut text);
    for mut child in children {
        let status = child.wait()?;
        ensure!(status.success(), "a party ended with {status}");
    }
    led?;
    read.context("cannot read the log")?;
    Ok(text)
}

fn start(number: usize, log: PipeWriter) -> Result<(Child, UnixStream)> {
    let (ours, theirs) = UnixStream::pair()?;
    let child = Command::new(env::current_exe()?)
        .args(["party", &number.to_string()])
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::from(log))
        .spawn()
        .context("cannot start a party")?;
    Ok((child, ours))
}

/// Says "arrived" and waits for the coordinator's answer.
fn meet(coordinator: &mut UnixStream) -> Result<()> {
    coordinator
        .write_all(&[ARRIVED])
        .context("cannot say \"arrived\"")?;
    let mut answer = [0];
    coordinator
        .read_exact(&mut answer)
        .context("the coordinator is gone")?;
    ensure!(answer == [GO], "the barrier is broken");
    Ok(())
}

/// Opens the barrier once a round, after the action, until a party is missing.
fn coordinate(
    parties: &mut [UnixStream],
    rounds: usize,
    mut action: impl FnMut(usize) -> Result<()>,
) -> Result<()> {
    for round in 1..=rounds {
        let outcome = match arrived(parties) {
            true => action(round),
            false => Err(anyhow!("round {round}: a party has ended")),
        };
        let answer = if outcome.is_ok() { GO } else { BROKEN };
        for party in parties.iter_mut() {
            // A dead party cannot read this; the next round finds it missing.
            let _ = party.write_all(&[answer]);
        }
        outcome?;
    }
    Ok(())
}

/// Waits until every party has arrived. False if one of them never will.
fn arrived(parties: &mut [UnixStream]) -> bool {
    parties.iter_mut().all(|p| p.read_exact(&mut [0]).is_ok())
}
// ANCHOR_END: all
