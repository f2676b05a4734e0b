// ANCHOR: all
//! Exercise: exactly one party leads each round, solved.

use std::io::{self, PipeWriter, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use std::{env, process, thread};

use anyhow::{Context, Result, bail, ensure};

const PARTIES: usize = 3;
const ROUNDS: usize = 5;
const PATIENCE: Duration = Duration::from_secs(5);

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => {
            limit_time();
            check(&run()?)
        }
        Some("party") => party(),
        Some(role) => bail!("unknown role {role:?}: expected \"party\""),
    }
}

/// An answer that hangs is no answer.
fn limit_time() {
    thread::spawn(|| {
        thread::sleep(2 * PATIENCE);
        eprintln!("not solved yet: it hangs, no result after {PATIENCE:?}");
        process::exit(1)
    });
}

fn check(log: &str) -> Result<()> {
    for round in 1..=ROUNDS {
        let start = format!("round {round}: ");
        let lines = log.lines();
        let mut numbers: Vec<_> =
            lines.filter_map(|line| line.strip_prefix(&start)).collect();
        numbers.sort();
        ensure!(
            numbers == ["0", "1", "2"],
            "not solved yet: the numbers of round {round} are {numbers:?}"
        );
    }
    println!("solved: each round has one leader");
    Ok(())
}

// ANCHOR: task
/// Lets all parties go on. The byte is what `wait` returns in Python.
fn release(parties: &mut [UnixStream]) -> Result<()> {
    for (index, party) in (0u8..).zip(parties) {
        party.write_all(&[index]).context("a party has ended")?;
    }
    Ok(())
}
// ANCHOR_END: task

fn party() -> Result<()> {
    let stdin = io::stdin().as_fd().try_clone_to_owned()?;
    let mut coordinator = UnixStream::from(stdin);
    for round in 1..=ROUNDS {
        coordinator.write_all(b"a").context("cannot arrive")?;
        let mut index = [0];
        coordinator.read_exact(&mut index).context("no answer")?;
        println!("round {round}: {}", index[0]);
    }
    Ok(())
}

fn run() -> Result<String> {
    let (mut log, writer) = io::pipe()?;
    let mut children = Vec::new();
    let mut parties = Vec::new();
    for _ in 0..PARTIES {
        let (child, party) = start(writer.try_clone()?)?;
        children.push(child);
        parties.push(party);
    }
    drop(writer);
    let done = coordinate(parties);
    let mut lines = String::new();
    log.read_to_string(&mut lines)?;
    for child in &mut children {
        child.wait()?;
    }
    done.map(|()| lines)
}

/// Closes all connections at its end, so that no party waits any longer.
fn coordinate(mut parties: Vec<UnixStream>) -> Result<()> {
    for round in 1..=ROUNDS {
        for party in &mut parties {
            party.set_read_timeout(Some(PATIENCE))?;
            party.read_exact(&mut [0]).with_context(|| {
                format!("not solved yet: a party does not reach round {round}")
            })?;
        }
        release(&mut parties)?;
    }
    Ok(())
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
// ANCHOR_END: all
