// ANCHOR: all
//! Proves that after wait a Child is safe to kill, and its number is not.

use std::env;
use std::process::Command;

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

fn main() -> Result<()> {
    if let Some(arg) = env::args().nth(1) {
        bail!("unknown argument {arg:?}: this program takes none");
    }
    // ANCHOR: proof
    let mut child =
        Command::new("true").spawn().context("cannot start true")?;
    let pid = Pid::from_raw(child.id().try_into()?);
    assert!(child.wait()?.success());

    // The Child knows that it has been reaped, and sends nothing.
    let by_handle = child.kill();
    println!("Child::kill: {by_handle:?}");
    assert!(by_handle.is_ok());
    // A number knows nothing: here it is free, later it is somebody else's.
    let by_number = kill(pid, Signal::SIGTERM);
    println!("kill: {by_number:?}");
    assert_eq!(by_number, Err(Errno::ESRCH));
    // ANCHOR_END: proof
    Ok(())
}
// ANCHOR_END: all
