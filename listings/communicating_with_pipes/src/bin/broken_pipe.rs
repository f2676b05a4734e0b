// ANCHOR: all
//! Proves what three programs do when nobody reads their output any more.

use std::env;
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, Stdio};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{SigSet, Signal};

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => parent(),
        Some("writeln") => with_writeln(),
        Some("println") => with_println(),
        Some(role) => {
            bail!("unknown role {role:?}: expected \"writeln\" or \"println\"")
        }
    }
}

// ANCHOR: proof
fn parent() -> Result<()> {
    // A program inherits which signals are blocked: `yes` is to die of this.
    SigSet::from(Signal::SIGPIPE).thread_unblock()?;
    let (reader, mut writer) = os_pipe::pipe()?;
    drop(reader);
    let error = writer.write(b"x").err().context("a reader is left")?;
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    println!("write: {error}");

    let program = env::current_exe()?;
    let status = unread(Command::new(&program).arg("writeln"))?;
    assert_eq!(status.code(), Some(0));
    println!("writeln!: {status}");

    let status = unread(Command::new(&program).arg("println"))?;
    assert_eq!(status.code(), Some(101));
    println!("println!: {status}");

    let status = unread(&mut Command::new("yes"))?;
    assert_eq!(status.signal(), Some(13));
    println!("yes: {status}");
    Ok(())
}
// ANCHOR_END: proof

/// Starts a program, and reads its output up to the first byte only.
fn unread(command: &mut Command) -> Result<ExitStatus> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .context("cannot start the program")?;
    let mut output = child.stdout.take().context("it has no output")?;
    let read = output.read_exact(&mut [0]);
    drop(output);
    let status = child.wait().context("cannot wait for the program")?;
    read.with_context(|| format!("no byte came: {status}"))?;
    Ok(status)
}

// ANCHOR: roles
fn with_writeln() -> Result<()> {
    let mut output = io::stdout().lock();
    for _ in 0..100_000 {
        match writeln!(output, "x") {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                return Ok(());
            }
            result => result.context("cannot write")?,
        }
    }
    bail!("expected a broken pipe")
}

fn with_println() -> Result<()> {
    for _ in 0..100_000 {
        println!("x");
    }
    bail!("expected a panic")
}
// ANCHOR_END: roles
// ANCHOR_END: all
