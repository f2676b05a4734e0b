// ANCHOR: all
//! Proves that a dead reader's lock is free, and its half-read frame is broken.

use std::env;
use std::fs::File;
use std::io::{Read, Write};
use std::process::Command;

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, raise};
use tempfile::NamedTempFile;

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => parent(),
        Some("victim") => victim(),
        Some(role) => bail!("unknown role {role:?}: expected \"victim\""),
    }
}

fn parent() -> Result<()> {
    let file = NamedTempFile::new().context("cannot make the lock file")?;
    let (mut queue, mut frames) = os_pipe::pipe()?;
    frames.write_all(b"\x05hello")?;
    drop(frames);
    let status = Command::new(env::current_exe()?)
        .arg("victim")
        .arg(file.path())
        .stdin(queue.try_clone()?)
        .status()
        .context("cannot start the victim")?;
    // ANCHOR: proof
    println!("victim: {status}");

    assert!(file.as_file().try_lock().is_ok(), "the lock is still held");
    let mut rest = String::new();
    queue.read_to_string(&mut rest)?;
    assert_eq!(rest, "hello", "the length is still there");
    println!("the lock is free, the queue begins with {rest:?}");
    // ANCHOR_END: proof
    Ok(())
}

// ANCHOR: victim
fn victim() -> Result<()> {
    let path = env::args().nth(2).context("the victim needs a lock file")?;
    let lock = File::open(path)?;
    lock.lock().context("cannot lock")?;
    os_pipe::dup_stdin()?
        .read_exact(&mut [0])
        .context("no length")?;
    Ok(raise(Signal::SIGKILL)?)
}
// ANCHOR_END: victim
// ANCHOR_END: all
