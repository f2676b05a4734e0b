// ANCHOR: all
//! Finds out what a spawned and a forked child have of their parent.

use std::env;
use std::io;
use std::os::fd::AsRawFd;
use std::process::{self, Command};
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

use anyhow::{Context, Result, bail};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};

static CHANGED: AtomicBool = AtomicBool::new(false);

const MEMORY: i32 = 1;
const ENVIRONMENT: i32 = 2;
const MASK: i32 = 4;
const FILE: i32 = 8;

fn main() -> Result<()> {
    let mut args = env::args().skip(1);
    match args.next().as_deref() {
        None => parent(),
        Some("child") => {
            let fd = args.next().context("\"child\" needs a descriptor")?;
            process::exit(inherited(fd.parse()?)?)
        }
        Some(role) => bail!("unknown role {role:?}: expected \"child\""),
    }
}

/// Which of the parent's four things does this process have?
fn inherited(fd: i32) -> Result<i32> {
    let mut found = 0;
    if CHANGED.load(Relaxed) {
        found |= MEMORY;
    }
    if env::var_os("COLOR").is_some_and(|color| color == "blue") {
        found |= ENVIRONMENT;
    }
    if SigSet::thread_get_mask()?.contains(Signal::SIGUSR1) {
        found |= MASK;
    }
    // SAFETY: F_GETFD reads a flag; a number that is not open is an error.
    if unsafe { libc::fcntl(fd, libc::F_GETFD) } != -1 {
        found |= FILE;
    }
    Ok(found)
}

// ANCHOR: parent
fn parent() -> Result<()> {
    CHANGED.store(true, Relaxed);
    // SAFETY: this process has one thread, so nobody reads meanwhile.
    unsafe { env::set_var("COLOR", "blue") };
    SigSet::from(Signal::SIGUSR1).thread_block()?;
    let (_reader, writer) = io::pipe()?;
    let fd = writer.as_raw_fd();

    let status = Command::new(env::current_exe()?)
        .args(["child", &fd.to_string()])
        .status()
        .context("cannot run the child")?;
    assert_eq!(status.code(), Some(ENVIRONMENT | MASK));
    println!("spawn: environment, signal mask");

    let child = fork_child(fd)?;
    let all = MEMORY | ENVIRONMENT | MASK | FILE;
    let status = waitpid(child, None).context("cannot wait")?;
    assert_eq!(status, WaitStatus::Exited(child, all));
    println!("fork:  environment, signal mask, memory, file descriptor");
    Ok(())
}
// ANCHOR_END: parent

fn fork_child(fd: i32) -> Result<Pid> {
    // SAFETY: this process has one thread, so its copy may run any code.
    match unsafe { fork() }.context("cannot fork")? {
        ForkResult::Parent { child } => Ok(child),
        ForkResult::Child => {
            let code = inherited(fd).unwrap_or(-1);
            // SAFETY: _exit ends this process and touches no memory.
            unsafe { libc::_exit(code) }
        }
    }
}
// ANCHOR_END: all
