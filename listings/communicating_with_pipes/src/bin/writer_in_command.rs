// ANCHOR: all
//! Proves that a `Command` value keeps a pipe open that its child has closed.

use std::env;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::process::Command;

use anyhow::{Context, Result, bail};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => parent(),
        Some("child") => child(),
        Some(role) => bail!("unknown role {role:?}: expected \"child\""),
    }
}

fn parent() -> Result<()> {
    let (mut reader, writer) = os_pipe::pipe()?;
    let mut command = Command::new(env::current_exe()?);
    command.arg("child").stdout(writer);
    command.spawn().context("cannot start the child")?.wait()?;

    // ANCHOR: proof
    let mut answer = [0; 8];
    assert_eq!(reader.read(&mut answer)?, 6);
    // The child is gone and the pipe is empty, yet it has not ended.
    assert_eq!(events(&reader, PollTimeout::from(20_u8))?, 0);
    drop(command);
    assert_eq!(events(&reader, PollTimeout::NONE)?, 1);
    assert_eq!(reader.read(&mut answer)?, 0);
    println!("end of file after drop(command), not before");
    // ANCHOR_END: proof
    Ok(())
}

/// How many of the pipe's ends have something to report within the time.
fn events(pipe: &impl AsFd, timeout: PollTimeout) -> Result<i32> {
    let mut pipes = [PollFd::new(pipe.as_fd(), PollFlags::POLLIN)];
    Ok(poll(&mut pipes, timeout)?)
}

fn child() -> Result<()> {
    writeln!(std::io::stdout(), "hello").context("cannot write")
}
// ANCHOR_END: all
