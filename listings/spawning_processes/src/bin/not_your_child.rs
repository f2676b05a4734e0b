// ANCHOR: all
//! Waits for a worker that another process has forked.

use std::env;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::panic::{self, AssertUnwindSafe};

use anyhow::{Context, Result, bail, ensure};
use nix::errno::Errno;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork, getpid, getppid};

fn main() -> Result<()> {
    if let Some(arg) = env::args().nth(1) {
        bail!("unknown argument {arg:?}: this program takes none");
    }
    let (report, writer) = io::pipe()?;
    let (lifeline, stop) = io::pipe()?;
    // SAFETY: this process has one thread, so its copy may run any code.
    let server = match unsafe { fork() }.context("cannot fork")? {
        ForkResult::Parent { child } => child,
        ForkResult::Child => {
            drop((report, stop));
            leave(|| serve(lifeline, writer))
        }
    };
    drop((lifeline, writer));

    let looked = look(report, server, stop);
    let status = waitpid(server, None).context("cannot wait")?;
    looked?;
    assert_eq!(status, WaitStatus::Exited(server, 0));
    Ok(())
}

// ANCHOR: proof
fn look(mut report: PipeReader, server: Pid, stop: PipeWriter) -> Result<()> {
    let worker = read_pid(&mut report)?;
    let parent_of_worker = read_pid(&mut report)?;
    let no_wait = Some(WaitPidFlag::WNOHANG);
    assert_eq!(waitpid(worker, no_wait), Err(Errno::ECHILD));
    assert_eq!(parent_of_worker, server);
    println!("waitpid(worker): {}", Errno::ECHILD.desc());
    println!("the worker's parent is the server");

    // The worker was alive all the time: now it sends its last word.
    drop(stop);
    assert_eq!(read_pid(&mut report)?, worker);
    Ok(())
}
// ANCHOR_END: proof

/// Forks one worker and waits for it.
fn serve(lifeline: PipeReader, report: PipeWriter) -> Result<()> {
    // SAFETY: this process has one thread, so its copy may run any code.
    match unsafe { fork() }.context("cannot fork")? {
        ForkResult::Child => leave(|| work(lifeline, report)),
        ForkResult::Parent { child } => {
            let status = waitpid(child, None).context("cannot wait")?;
            ensure!(status == WaitStatus::Exited(child, 0), "{status:?}");
            Ok(())
        }
    }
}

/// Reports this process's ID and its parent's, and its own again when the
/// lifeline has ended.
fn work(mut lifeline: PipeReader, mut report: PipeWriter) -> Result<()> {
    for pid in [getpid(), getppid()] {
        report.write_all(&pid.as_raw().to_ne_bytes())?;
    }
    lifeline.read_to_end(&mut Vec::new())?;
    report.write_all(&getpid().as_raw().to_ne_bytes())?;
    Ok(())
}

fn read_pid(report: &mut PipeReader) -> Result<Pid> {
    let mut bytes = [0; 4];
    report
        .read_exact(&mut bytes)
        .context("the worker reports no PID")?;
    Ok(Pid::from_raw(i32::from_ne_bytes(bytes)))
}

/// Ends a forked child, which must not return into its copy of the parent.
fn leave(task: impl FnOnce() -> Result<()>) -> ! {
    let code = panic::catch_unwind(AssertUnwindSafe(|| match task() {
        Ok(()) => 0,
        Err(error) => {
            let words = format!("Error: {error:#}\n");
            // `eprintln!` panics if nobody can read it.
            let _ = io::stderr().write_all(words.as_bytes());
            1
        }
    }));
    // SAFETY: _exit ends this process and touches no memory.
    unsafe { libc::_exit(code.unwrap_or(101)) }
}
// ANCHOR_END: all
