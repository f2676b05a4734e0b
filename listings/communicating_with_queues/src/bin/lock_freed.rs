// ANCHOR: all
//! Proves that a dead reader's lock is free, and its half-read frame is broken.

use std::env;
use std::fs::{File, TryLockError};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, raise};
use tempfile::NamedTempFile;

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => parent(),
        Some("victim") => victim(),
        Some("keeper") => keeper(),
        Some(role) => {
            bail!("unknown role {role:?}: expected \"victim\" or \"keeper\"")
        }
    }
}

fn parent() -> Result<()> {
    let program = env::current_exe()?;
    let file = NamedTempFile::new().context("cannot make the lock file")?;
    let (mut queue, mut frames) = os_pipe::pipe()?;
    // ANCHOR: proof
    frames.write_all(b"\x05hello")?;
    let status = Command::new(&program)
        .arg("victim")
        .arg(file.path())
        .stdin(queue.try_clone()?)
        .status()
        .context("cannot run the victim")?;
    println!("victim: {status}");
    assert_eq!(status.signal(), Some(Signal::SIGKILL as i32));
    assert!(file.as_file().try_lock().is_ok(), "the lock is still held");
    let mut rest = [0; 5];
    queue.read_exact(&mut rest)?;
    assert_eq!(&rest, b"hello", "the length is still there");
    println!("the lock is free, the queue begins with \"hello\"");
    // ANCHOR_END: proof
    file.as_file().unlock()?;

    // ANCHOR: copy
    // The victim's lock is on a descriptor that the keeper has as well.
    let lock = File::open(file.path())?;
    let mut keeper = Command::new(&program)
        .arg("keeper")
        .stdin(Stdio::piped())
        .stdout(lock.try_clone()?)
        .spawn()
        .context("cannot start the keeper")?;
    frames.write_all(b"\x05")?;
    let victim = Command::new(&program)
        .arg("victim")
        .stdin(queue)
        .stdout(lock)
        .status();
    let held = file.as_file().try_lock();
    // This ends the keeper.
    drop(keeper.stdin.take());
    let kept = keeper.wait().context("cannot wait for the keeper")?;
    ensure!(kept.success(), "the keeper failed");
    let victim = victim.context("cannot run the victim")?;
    assert_eq!(victim.signal(), Some(Signal::SIGKILL as i32));
    assert!(matches!(held, Err(TryLockError::WouldBlock)));
    assert!(file.as_file().try_lock().is_ok(), "the lock is still held");
    println!("with a copy of its descriptor elsewhere: held until that ends");
    // ANCHOR_END: copy
    Ok(())
}

// ANCHOR: victim
fn victim() -> Result<()> {
    let lock = match env::args().nth(2) {
        Some(path) => File::open(path)?,
        None => File::from(io::stdout().as_fd().try_clone_to_owned()?),
    };
    lock.lock().context("cannot lock")?;
    os_pipe::dup_stdin()?
        .read_exact(&mut [0])
        .context("no length")?;
    Ok(raise(Signal::SIGKILL)?)
}
// ANCHOR_END: victim

/// Holds whatever it was given until its input ends.
fn keeper() -> Result<()> {
    io::read_to_string(io::stdin())?;
    Ok(())
}
// ANCHOR_END: all
