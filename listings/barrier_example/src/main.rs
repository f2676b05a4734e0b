// ANCHOR: all
//! Three parties take three steps, first on their own, then in step.

use std::env;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, ExitStatus, Stdio};

use anyhow::{Context, Result, bail, ensure};

const PARTIES: usize = 3;
const STEPS: usize = 3;
const GO: u8 = b'g';
const BROKEN: u8 = b'b';

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => parent(),
        Some("loner") => work(|| Ok(())),
        Some("party") => party(),
        Some(role) => {
            bail!("unknown role {role:?}: expected \"loner\" or \"party\"")
        }
    }
}

fn work(mut wait: impl FnMut() -> Result<()>) -> Result<()> {
    let number = env::args().nth(2).context("missing the party's number")?;
    for step in 1..=STEPS {
        println!("party {number}: step {step}");
        wait()?;
    }
    Ok(())
}

fn party() -> Result<()> {
    let stdin = io::stdin().as_fd().try_clone_to_owned()?;
    let mut coordinator = UnixStream::from(stdin);
    work(|| {
        coordinator
            .write_all(b"a")
            .context("cannot say \"arrived\"")?;
        let mut answer = [0];
        coordinator
            .read_exact(&mut answer)
            .context("the coordinator is gone")?;
        ensure!(answer == [GO], "the barrier is broken");
        Ok(())
    })
}

fn parent() -> Result<()> {
    println!("without a barrier:");
    let (children, _) = start("loner")?;
    join(children)?;

    println!("with a barrier:");
    let (children, mut parties) = start("party")?;
    // ANCHOR: rounds
    for step in 1..=STEPS {
        let whole = arrived(&mut parties);
        if whole {
            println!("--- all have taken step {step} ---");
        }
        let answer = if whole { GO } else { BROKEN };
        for party in &mut parties {
            // A dead party cannot read this; the next round finds it missing.
            let _ = party.write_all(&[answer]);
        }
        if !whole {
            break;
        }
    }
    // ANCHOR_END: rounds
    join(children)
}

// ANCHOR: arrived
/// Waits until every party has arrived. False if one of them never will.
fn arrived(parties: &mut [UnixStream]) -> bool {
    parties.iter_mut().all(|p| p.read_exact(&mut [0]).is_ok())
}
// ANCHOR_END: arrived

fn start(role: &str) -> Result<(Vec<Child>, Vec<UnixStream>)> {
    let mut children = Vec::new();
    let mut parties = Vec::new();
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
    Ok((children, parties))
}

fn join(mut children: Vec<Child>) -> Result<()> {
    let ends = children.iter_mut().map(Child::wait);
    let ends: Vec<ExitStatus> = ends.collect::<io::Result<_>>()?;
    let all_well = ends.iter().all(ExitStatus::success);
    ensure!(all_well, "the parties ended with {ends:?}");
    Ok(())
}
// ANCHOR_END: all
