// ANCHOR: all
//! Looks at any child's status, then takes it, and `Child::wait` fails.

use std::env;
use std::process::{Child, Command};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => parent(),
        Some("worker") => Ok(()),
        Some(role) => bail!("unknown role {role:?}: expected \"worker\""),
    }
}

fn parent() -> Result<()> {
    // ANCHOR: proof
    let mut worker = start_worker()?;
    let pid = Pid::from_raw(worker.id().try_into()?);
    assert_eq!(look_at_any()?, WaitStatus::Exited(pid, 0));
    println!("looked at: {}", worker.wait()?);

    let mut worker = start_worker()?;
    let pid = Pid::from_raw(worker.id().try_into()?);
    assert_eq!(waitpid(None, None)?, WaitStatus::Exited(pid, 0));
    let error = worker.wait().err().context("the status is still there")?;
    assert_eq!(error.raw_os_error(), Some(Errno::ECHILD as i32));
    println!("taken: {error}");
    // ANCHOR_END: proof
    Ok(())
}

// ANCHOR: look
/// Waits until any child has ended, and leaves its status where it is.
#[cfg(target_os = "linux")]
fn look_at_any() -> Result<WaitStatus> {
    use nix::sys::wait::{Id, WaitPidFlag, waitid};
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT;
    waitid(Id::All, flags).context("cannot look at the children")
}
// ANCHOR_END: look

#[cfg(not(target_os = "linux"))]
fn look_at_any() -> Result<WaitStatus> {
    bail!("this program needs Linux: it uses waitid")
}

fn start_worker() -> Result<Child> {
    Command::new(env::current_exe()?)
        .arg("worker")
        .spawn()
        .context("cannot start the worker")
}
// ANCHOR_END: all
