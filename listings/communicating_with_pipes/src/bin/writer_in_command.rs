// ANCHOR: all
//! Proves that a `Command` value keeps a pipe open that its child has closed.

use std::env;
use std::io::{ErrorKind, Read, Write};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use nix::fcntl::{FcntlArg, OFlag, fcntl};

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
    let mut child = command.spawn().context("cannot start the child")?;
    let status = child.wait().context("cannot wait for the child")?;
    ensure!(status.success(), "the child failed: {status}");

    // ANCHOR: proof
    // A read that would have to wait is an error from now on.
    fcntl(&reader, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    let mut answer = [0; 8];
    assert_eq!(reader.read(&mut answer)?, 6);
    // The child is gone and the pipe is empty, yet it has not ended.
    let error = reader.read(&mut answer).err().context("no writer left")?;
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    drop(command);
    assert_eq!(reader.read(&mut answer)?, 0);
    println!("end of file after drop(command), not before");
    // ANCHOR_END: proof
    Ok(())
}

fn child() -> Result<()> {
    writeln!(std::io::stdout(), "hello").context("cannot write")
}
// ANCHOR_END: all
