// ANCHOR: all
//! Proves that a killed party is read as a reset if it left bytes unread.

use std::env;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => parent(),
        Some("party") => party(),
        Some(role) => bail!("unknown role {role:?}: expected \"party\""),
    }
}

// ANCHOR: proof
fn parent() -> Result<()> {
    let (mut child, mut party) = start()?;
    child.kill()?;
    child.wait()?;
    assert_eq!(party.read(&mut [0])?, 0, "nothing unread: an end of file");

    let (mut child, mut party) = start()?;
    party.write_all(b"g")?;
    child.kill()?;
    child.wait()?;
    let error = party.read(&mut [0]).err().map(|error| error.kind());
    assert_eq!(error, Some(ErrorKind::ConnectionReset));
    println!("all read: end of file; an unread answer: connection reset");
    Ok(())
}
// ANCHOR_END: proof

/// Waits without reading: only the hang-up counts, an answer does not.
fn party() -> Result<()> {
    let stdin = io::stdin();
    let mut ends = [PollFd::new(stdin.as_fd(), PollFlags::empty())];
    poll(&mut ends, PollTimeout::from(2_000u16))?;
    Ok(())
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
