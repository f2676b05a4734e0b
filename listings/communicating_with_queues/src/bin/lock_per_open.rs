// ANCHOR: all
//! Proves that a file lock keeps out other opens, not copies of a descriptor.

use std::env;
use std::fs::{File, TryLockError};
use std::io;
use std::os::fd::AsFd;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use tempfile::NamedTempFile;

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => parent(),
        Some("child") => child(),
        Some(role) => bail!("unknown role {role:?}: expected \"child\""),
    }
}

fn parent() -> Result<()> {
    let file = NamedTempFile::new().context("cannot make the lock file")?;
    let lock = File::open(file.path())?;
    lock.lock().context("cannot lock")?;
    let status = Command::new(env::current_exe()?)
        .arg("child")
        .arg(file.path())
        .stdin(lock.try_clone()?)
        .status()
        .context("cannot run the child")?;
    ensure!(status.success(), "the child failed");
    Ok(())
}

// ANCHOR: proof
fn child() -> Result<()> {
    let path = env::args().nth(2).context("the child needs a lock file")?;
    let opened = File::open(path)?.try_lock();
    assert!(matches!(opened, Err(TryLockError::WouldBlock)));
    println!("opened again: locked out");
    let inherited = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    inherited.try_lock().context("the copy is locked out")?;
    println!("inherited: let in, while the parent holds the lock");
    Ok(())
}
// ANCHOR_END: proof
// ANCHOR_END: all
