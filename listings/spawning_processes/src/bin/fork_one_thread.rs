// ANCHOR: all
//! Starts a child while another thread holds a lock, by fork and by spawn.

use std::process::Command;
use std::sync::{Mutex, mpsc};
use std::{env, process, thread};

use anyhow::{Context, Result, bail};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork};

static LOCK: Mutex<()> = Mutex::new(());
const FREE: i32 = 0;
const TAKEN: i32 = 3;

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => parent(),
        Some("worker") => process::exit(look()),
        Some(role) => bail!("unknown role {role:?}: expected \"worker\""),
    }
}

/// The exit code of a child: does it find the lock free or taken?
fn look() -> i32 {
    match LOCK.try_lock() {
        Ok(_) => FREE,
        Err(_) => TAKEN,
    }
}

fn parent() -> Result<()> {
    let (taken, wait_taken) = mpsc::channel();
    let (release, wait_release) = mpsc::channel::<()>();
    thread::scope(|scope| {
        let holder = move || {
            let _guard = LOCK.lock();
            let _ = taken.send(());
            // Returns when `release` is dropped.
            let _ = wait_release.recv();
        };
        thread::Builder::new()
            .spawn_scoped(scope, holder)
            .context("cannot start a thread")?;
        wait_taken.recv()?;
        let result = start_children();
        drop(release);
        result
    })
}

// ANCHOR: children
fn start_children() -> Result<()> {
    // SAFETY: the child calls _exit, which is async-signal-safe. Before, it
    // tries a lock: on Linux a few atomic operations, not a call into libc.
    let child = match unsafe { fork() }.context("cannot fork")? {
        // SAFETY: _exit ends this process and touches no memory.
        ForkResult::Child => unsafe { libc::_exit(look()) },
        ForkResult::Parent { child } => child,
    };
    let status = waitpid(child, None).context("cannot wait")?;
    assert_eq!(status, WaitStatus::Exited(child, TAKEN));
    println!("fork: taken, and the thread that would free it is not there");

    let mut worker = Command::new(env::current_exe()?);
    let status = worker.arg("worker").status().context("cannot run")?;
    assert_eq!(status.code(), Some(FREE));
    println!("spawn: free");
    Ok(())
}
// ANCHOR_END: children
// ANCHOR_END: all
