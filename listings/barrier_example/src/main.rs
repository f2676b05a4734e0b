// ANCHOR: all
//! Three parties take three steps, first on their own, then in step.

use std::env;
use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, anyhow, bail, ensure};

const PARTIES: usize = 3;
const STEPS: usize = 3;
const ARRIVED: u8 = b'a';
const GO: u8 = b'g';
const BROKEN: u8 = b'b';

fn main() -> Result<()> {
    let mut args = env::args_os().skip(1);
    match args.next() {
        None => parent(),
        Some(role) if role == "loner" => work(args.next(), || Ok(())),
        Some(role) if role == "party" => party(args.next()),
        Some(role) => {
            bail!("unknown role {role:?}: expected \"loner\" or \"party\"")
        }
    }
}

fn work(
    number: Option<OsString>,
    mut wait: impl FnMut() -> Result<()>,
) -> Result<()> {
    let number = number.context("missing the party's number")?;
    for step in 1..=STEPS {
        writeln!(io::stdout(), "party {}: step {step}", number.display())?;
        wait()?;
    }
    Ok(())
}

fn party(number: Option<OsString>) -> Result<()> {
    let stdin = io::stdin().as_fd().try_clone_to_owned()?;
    let mut coordinator = UnixStream::from(stdin);
    work(number, || meet(&mut coordinator))
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

// ANCHOR: both
fn parent() -> Result<()> {
    let mut out = io::stdout();
    writeln!(out, "without a barrier:")?;
    run("loner", |_| Ok(()))?;
    writeln!(out, "with a barrier:")?;
    run("party", |parties| {
        coordinate(parties, STEPS, |step| {
            writeln!(out, "--- all have taken step {step} ---")
                .context("cannot print")
        })
    })
}
// ANCHOR_END: both

// ANCHOR: coordinate
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
// ANCHOR_END: coordinate

// ANCHOR: arrived
/// Waits until every party has arrived. False if one of them never will.
fn arrived(parties: &mut [UnixStream]) -> bool {
    parties.iter_mut().all(|p| p.read_exact(&mut [0]).is_ok())
}
// ANCHOR_END: arrived

// ANCHOR: run
/// Starts the parties, leads them, and waits for all, whatever fails.
fn run(
    role: &str,
    lead: impl FnOnce(&mut [UnixStream]) -> Result<()>,
) -> Result<()> {
    let mut children = Vec::new();
    let mut parties = Vec::new();
    let led = match start(role, &mut children, &mut parties) {
        Ok(()) => lead(&mut parties),
        Err(error) => {
            // Those that have been started read the end of file.
            parties.clear();
            Err(error)
        }
    };
    let ends: Vec<_> = children.iter_mut().map(Child::wait).collect();
    led?;
    for end in ends {
        let status = end.context("cannot wait for a party")?;
        ensure!(status.success(), "a party ended with {status}");
    }
    Ok(())
}
// ANCHOR_END: run

fn start(
    role: &str,
    children: &mut Vec<Child>,
    parties: &mut Vec<UnixStream>,
) -> Result<()> {
    for number in 1..=PARTIES {
        let (ours, theirs) = UnixStream::pair()?;
        let child = Command::new(env::current_exe()?)
            .args([role, &number.to_string()])
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .spawn()
            .context("cannot start a party")?;
        children.push(child);
        parties.push(ours);
    }
    Ok(())
}
// ANCHOR_END: all
