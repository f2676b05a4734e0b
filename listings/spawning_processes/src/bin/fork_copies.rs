// ANCHOR: all
//! Computes in a forked child what the parent never sees.

use std::env;

use anyhow::{Context, Result, bail};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork};

fn main() -> Result<()> {
    if let Some(arg) = env::args().nth(1) {
        bail!("unknown argument {arg:?}: this program takes none");
    }
    // ANCHOR: proof
    let mut answer = 1;
    // SAFETY: this process has one thread, so its copy may run any code.
    match unsafe { fork() }.context("cannot fork")? {
        ForkResult::Child => {
            answer += 41;
            // SAFETY: _exit ends this process and touches no memory.
            unsafe { libc::_exit(answer) }
        }
        ForkResult::Parent { child } => {
            let status = waitpid(child, None).context("cannot wait")?;
            assert_eq!(status, WaitStatus::Exited(child, 42));
            assert_eq!(answer, 1);
        }
    }
    println!("the child computed 42, the parent still has {answer}");
    // ANCHOR_END: proof
    Ok(())
}
// ANCHOR_END: all
