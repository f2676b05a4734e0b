// ANCHOR: all
//! A program that was started with SIGCHLD ignored waits in vain.

use std::env;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::thread;

use anyhow::{Context, Result, bail, ensure};
use nix::errno::Errno;
use nix::sys::signal::{SigHandler, Signal, kill, signal};
use nix::unistd::Pid;

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => starter(),
        Some("program") => program(),
        Some("worker") => Ok(()),
        Some(role) => {
            bail!("unknown role {role:?}: expected \"program\" or \"worker\"")
        }
    }
}

// ANCHOR: starter
fn starter() -> Result<()> {
    heed_sigchld()?;
    let mut program = Command::new(env::current_exe()?);
    program.arg("program");
    let ignore = || {
        // SAFETY: to ignore a signal installs no code.
        unsafe { signal(Signal::SIGCHLD, SigHandler::SigIgn) }?;
        Ok(())
    };
    // SAFETY: the closure makes one system call and allocates nothing.
    unsafe { program.pre_exec(ignore) };
    let status = program.status().context("cannot run the program")?;
    ensure!(status.success(), "the program failed: {status}");
    Ok(())
}
// ANCHOR_END: starter

// ANCHOR: proof
/// Has SIGCHLD ignored from its first moment, and has done nothing for it.
fn program() -> Result<()> {
    let mut worker = start_worker()?;
    let free = number_is_free_at_its_end(&worker)?;
    let waited = worker.wait();
    ensure!(free, "SIGCHLD is not ignored: the worker became a zombie");
    let error = waited.err().context("wait has returned a status")?;
    assert_eq!(error.raw_os_error(), Some(Errno::ECHILD as i32));

    heed_sigchld()?;
    let status = start_worker()?.wait()?;
    assert!(status.success());
    println!("ignored: the number is free, and wait fails: {error}");
    println!("heeded:  wait returns {status}");
    Ok(())
}
// ANCHOR_END: proof

fn start_worker() -> Result<Child> {
    Command::new(env::current_exe()?)
        .arg("worker")
        .spawn()
        .context("cannot start the worker")
}

// ANCHOR: heed
/// For the start of a program that needs to know how its children ended.
fn heed_sigchld() -> Result<()> {
    // SAFETY: the default action runs no code of this program.
    unsafe { signal(Signal::SIGCHLD, SigHandler::SigDfl) }
        .context("cannot reset SIGCHLD")?;
    Ok(())
}
// ANCHOR_END: heed

// ANCHOR: free
/// Waits until the worker has ended, and takes nothing: a status would stay.
#[cfg(target_os = "linux")]
fn number_is_free_at_its_end(worker: &Child) -> Result<bool> {
    use nix::sys::wait::{Id, WaitPidFlag, waitid};
    let pid = Pid::from_raw(worker.id().try_into()?);
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT;
    match waitid(Id::Pid(pid), flags) {
        Ok(_) => return Ok(false),
        Err(Errno::ECHILD) => {}
        Err(error) => bail!("cannot look at the worker: {error}"),
    }
    // The kernel is about to forget the number, and needs nobody for it.
    while kill(pid, None) != Err(Errno::ESRCH) {
        thread::yield_now();
    }
    Ok(true)
}
// ANCHOR_END: free

#[cfg(not(target_os = "linux"))]
fn number_is_free_at_its_end(_: &Child) -> Result<bool> {
    bail!("this program needs Linux: it uses waitid")
}
// ANCHOR_END: all
