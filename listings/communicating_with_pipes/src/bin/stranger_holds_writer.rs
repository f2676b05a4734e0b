// ANCHOR: all
//! Proves that a writer inherited by a stranger keeps a pipe open.

use std::os::fd::AsFd;
use std::process::{Command, Stdio};
use std::{env, io};

use anyhow::{Context, Result, bail, ensure};
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => parent(),
        Some("stranger") => stranger(),
        Some(role) => bail!("unknown role {role:?}: expected \"stranger\""),
    }
}

fn parent() -> Result<()> {
    let (reader, writer) = os_pipe::pipe()?;
    // ANCHOR: proof
    // The mistake: from here on every program that is started inherits it.
    fcntl(&writer, FcntlArg::F_SETFD(FdFlag::empty()))?;
    let mut stranger = Command::new(env::current_exe()?)
        .arg("stranger")
        .stdin(Stdio::piped())
        .spawn()
        .context("cannot start the stranger")?;
    drop(writer);

    let mut pipes = [PollFd::new(reader.as_fd(), PollFlags::POLLIN)];
    assert_eq!(poll(&mut pipes, PollTimeout::from(20_u8))?, 0);
    // `wait` closes the stranger's standard input, so the stranger ends.
    ensure!(stranger.wait()?.success(), "the stranger failed");
    assert_eq!(poll(&mut pipes, PollTimeout::NONE)?, 1);
    println!("end of file after the stranger's end, not before");
    // ANCHOR_END: proof
    Ok(())
}

fn stranger() -> Result<()> {
    io::copy(&mut io::stdin(), &mut io::sink())
        .context("cannot read standard input")?;
    Ok(())
}
// ANCHOR_END: all
