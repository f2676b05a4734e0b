// ANCHOR: all
//! Waits for a worker that another process has forked.

use std::env;
use std::io::{self, PipeReader, PipeWriter, Read, Write};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork, getpid, getppid};

fn main() -> Result<()> {
    if let Some(arg) = env::args().nth(1) {
        bail!("unknown argument {arg:?}: this program takes none");
    }
    let (mut report, writer) = io::pipe()?;
    let (lifeline, stop) = io::pipe()?;
    // SAFETY: this process has one thread, so its copy may run any code.
    let server = match unsafe { fork() }.context("cannot fork")? {
        ForkResult::Parent { child } => child,
        ForkResult::Child => {
            drop((report, stop));
            leave(serve(lifeline, writer))
        }
    };
    drop((lifeline, writer));

    // ANCHOR: proof
    let worker = read_pid(&mut report)?;
    let parent_of_worker = read_pid(&mut report)?;
    let no_wait = Some(WaitPidFlag::WNOHANG);
    assert_eq!(waitpid(worker, no_wait), Err(Errno::ECHILD));
    assert_eq!(parent_of_worker, server);
    println!("waitpid(worker): {}", Errno::ECHILD.desc());
    println!("the worker's parent is the server");
    // ANCHOR_END: proof

    drop(stop);
    assert_eq!(waitpid(server, None)?, WaitStatus::Exited(server, 0));
    Ok(())
}

/// Forks one worker and waits for it.
fn serve(lifeline: PipeReader, report: PipeWriter) -> Result<()> {
    // SAFETY: this process has one thread, so its copy may run any code.
    match unsafe { fork() }.context("cannot fork")? {
        ForkResult::Child => leave(work(lifeline, report)),
        ForkResult::Parent { child } => {
            waitpid(child, None)?;
            Ok(())
        }
    }
}

/// Reports this process's ID and its parent's, and stays until the lifeline
/// ends.
fn work(mut lifeline: PipeReader, mut report: PipeWriter) -> Result<()> {
    for pid in [getpid(), getppid()] {
        report.write_all(&pid.as_raw().to_ne_bytes())?;
    }
    lifeline.read_to_end(&mut Vec::new())?;
    Ok(())
}

fn read_pid(report: &mut PipeReader) -> Result<Pid> {
    let mut bytes = [0; 4];
    report
        .read_exact(&mut bytes)
        .context("the worker reports no PID")?;
    Ok(Pid::from_raw(i32::from_ne_bytes(bytes)))
}

fn leave(result: Result<()>) -> ! {
    if let Err(error) = &result {
        eprintln!("Error: {error:#}");
    }
    // SAFETY: _exit ends this process and touches no memory.
    unsafe { libc::_exit(result.is_err().into()) }
}
// ANCHOR_END: all
