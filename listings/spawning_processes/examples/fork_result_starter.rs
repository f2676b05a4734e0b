// ANCHOR: all
//! Exercise: bring a result back from a forked child.

use std::env;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use anyhow::{Context, Result, bail, ensure};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork};

fn main() -> Result<()> {
    if let Some(arg) = env::args().nth(1) {
        bail!("unknown argument {arg:?}: this program takes none");
    }
    check()
}

// ANCHOR: task
static RESULT: AtomicU64 = AtomicU64::new(0);

/// Squares a number in a child process.
fn square(number: u32) -> Result<u64> {
    // SAFETY: this process has one thread, so its copy may run any code.
    match unsafe { fork() }.context("cannot fork")? {
        ForkResult::Child => {
            RESULT.store(u64::from(number) * u64::from(number), Relaxed);
            // SAFETY: _exit ends this process and touches no memory.
            unsafe { libc::_exit(0) }
        }
        ForkResult::Parent { child } => {
            let status = waitpid(child, None)?;
            ensure!(status == WaitStatus::Exited(child, 0), "{status:?}");
        }
    }
    Ok(RESULT.load(Relaxed))
}
// ANCHOR_END: task

fn check() -> Result<()> {
    for (number, wanted) in [(7, 49), (1_000_000, 1_000_000_000_000)] {
        let found = square(number)?;
        ensure!(
            found == wanted,
            "not solved yet: {number} squared became {found}, not {wanted}"
        );
    }
    println!("solved");
    Ok(())
}
// ANCHOR_END: all
