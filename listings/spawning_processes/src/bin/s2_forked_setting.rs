// ANCHOR: all
//! Forks a worker, which has a copy of the setting that the parent has changed.

use std::env;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;

use anyhow::{Context, Result, bail, ensure};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};

static SETTING: AtomicU32 = AtomicU32::new(1);

fn main() -> Result<()> {
    match env::args().nth(1) {
        None => parent(),
        Some(arg) => bail!("unknown argument {arg:?}: this program takes none"),
    }
}

// ANCHOR: fork_worker
fn parent() -> Result<()> {
    SETTING.store(3, Relaxed);
    join(fork_worker()?).context("the worker")
}

fn fork_worker() -> Result<Pid> {
    // SAFETY: this process has one thread, so its copy may run any code.
    match unsafe { fork() }.context("cannot fork")? {
        ForkResult::Parent { child } => Ok(child),
        ForkResult::Child => {
            println!("the worker sees setting {}", SETTING.load(Relaxed));
            // SAFETY: _exit ends this process and touches no memory.
            unsafe { libc::_exit(0) }
        }
    }
}

fn join(child: Pid) -> Result<()> {
    let status = waitpid(child, None).context("cannot wait for it")?;
    ensure!(status == WaitStatus::Exited(child, 0), "{status:?}");
    Ok(())
}
// ANCHOR_END: fork_worker
// ANCHOR_END: all
