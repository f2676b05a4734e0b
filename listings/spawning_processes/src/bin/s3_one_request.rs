// ANCHOR: all
//! Forks a server early, which later forks one worker on request.

use std::env;
use std::io::{self, PipeReader, Read, Write};
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

// ANCHOR: server
fn parent() -> Result<()> {
    SETTING.store(2, Relaxed);
    let (requests, mut pipe) = io::pipe().context("cannot make a pipe")?;
    // SAFETY: this process has one thread, so its copy may run any code.
    match unsafe { fork() }.context("cannot fork")? {
        ForkResult::Child => {
            drop(pipe);
            leave(serve(requests))
        }
        ForkResult::Parent { child } => {
            drop(requests);
            SETTING.store(3, Relaxed);
            let asked = pipe.write_all(b"w").context("cannot ask");
            join(child).context("the server")?;
            asked
        }
    }
}

fn serve(mut requests: PipeReader) -> Result<()> {
    requests.read_exact(&mut [0]).context("no request")?;
    join(fork_worker()?).context("the worker")
}
// ANCHOR_END: server

fn fork_worker() -> Result<Pid> {
    // SAFETY: this process has one thread, so its copy may run any code.
    match unsafe { fork() }.context("cannot fork")? {
        ForkResult::Parent { child } => Ok(child),
        ForkResult::Child => {
            println!("the worker sees setting {}", SETTING.load(Relaxed));
            leave(Ok(()))
        }
    }
}

fn join(child: Pid) -> Result<()> {
    let status = waitpid(child, None).context("cannot wait for it")?;
    ensure!(status == WaitStatus::Exited(child, 0), "{status:?}");
    Ok(())
}

// ANCHOR: leave
/// Ends a forked child.
fn leave(outcome: Result<()>) -> ! {
    let code = match outcome {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("Error: {error:#}");
            1
        }
    };
    // SAFETY: _exit ends this process and touches no memory.
    unsafe { libc::_exit(code) }
}
// ANCHOR_END: leave
// ANCHOR_END: all
