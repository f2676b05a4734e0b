// ANCHOR: all
//! Proves that a party that misses the deadline hears so when it arrives.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use std::{env, process};

use anyhow::{Context, Result, bail};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

const BROKEN: u8 = b'b';
const HEARD_BROKEN: i32 = 2;

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => parent(),
        Some("prompt") => party(|_| Ok(())),
        // Its work takes until the others have given up.
        Some("late") => party(|coordinator| {
            readable(coordinator, PollTimeout::NONE).map(|_| ())
        }),
        Some(role) => {
            bail!("unknown role {role:?}: expected \"prompt\" or \"late\"")
        }
    }
}

// ANCHOR: proof
fn parent() -> Result<()> {
    let (mut prompt_child, mut prompt) = start("prompt")?;
    let (mut late_child, mut late) = start("late")?;
    let ample = PollTimeout::try_from(Duration::from_secs(10))?;
    let brief = PollTimeout::try_from(Duration::from_millis(100))?;
    assert!(readable(&prompt, ample)?, "the prompt party arrives");
    assert!(!readable(&late, brief)?, "the late party does not");
    for party in [&mut prompt, &mut late] {
        party.write_all(&[BROKEN])?;
    }
    assert!(readable(&late, ample)?, "the late party arrives after all");
    assert_eq!(prompt_child.wait()?.code(), Some(HEARD_BROKEN));
    assert_eq!(late_child.wait()?.code(), Some(HEARD_BROKEN));
    println!("the prompt party and the late one hear the same");
    Ok(())
}
// ANCHOR_END: proof

fn party(work: impl FnOnce(&UnixStream) -> Result<()>) -> Result<()> {
    let stdin = io::stdin().as_fd().try_clone_to_owned()?;
    let mut coordinator = UnixStream::from(stdin);
    work(&coordinator)?;
    coordinator.write_all(b"a").context("cannot arrive")?;
    let mut answer = [0];
    coordinator.read_exact(&mut answer).context("no answer")?;
    if answer == [BROKEN] {
        process::exit(HEARD_BROKEN);
    }
    Ok(())
}

fn readable(stream: &UnixStream, timeout: PollTimeout) -> Result<bool> {
    let mut ends = [PollFd::new(stream.as_fd(), PollFlags::POLLIN)];
    Ok(poll(&mut ends, timeout).context("cannot poll")? > 0)
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
