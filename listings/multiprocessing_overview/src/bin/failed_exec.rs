// ANCHOR: all
//! Tries to start a program that does not exist.

use std::env;
use std::io::ErrorKind;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use nix::errno::Errno;
use nix::sys::wait::{WaitPidFlag, waitpid};

fn main() -> Result<()> {
    if let Some(arg) = env::args().nth(1) {
        bail!("unknown argument {arg:?}: this program takes none");
    }
    // ANCHOR: proof
    let result = Command::new("/no/such/program").spawn();
    let error = result.err().context("the program was started")?;
    ensure!(error.kind() == ErrorKind::NotFound, "no start: {error}");
    // Neither a child that runs nor one that has ended.
    let child = waitpid(None, Some(WaitPidFlag::WNOHANG));
    assert_eq!(child, Err(Errno::ECHILD));
    println!("no child, but an error: {error}");
    // ANCHOR_END: proof
    Ok(())
}
// ANCHOR_END: all
