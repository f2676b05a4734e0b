// ANCHOR: all
//! Kills the holder of a locked PID file, and looks at what it leaves behind.

use std::env;
use std::fs::{self, File, TryLockError};
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::process::{self, Child, ChildStdin, Command, Stdio};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::sys::signal::{SigHandler, Signal, kill, signal};
use nix::sys::wait::wait;
use nix::unistd::{ForkResult, Pid, fork};

fn main() -> Result<()> {
    let mut args = env::args().skip(1);
    let role = args.next();
    let mut path = || args.next().context("the PID file is missing");
    match role.as_deref() {
        None => observer(),
        Some("worker") => worker(&path()?),
        Some("forking-worker") => forking_worker(&path()?),
        Some(role) => bail!(
            "unknown role {role:?}: \
             expected \"worker\" or \"forking-worker\""
        ),
    }
}

fn observer() -> Result<()> {
    adopt_orphans()?;
    let dir = tempfile::tempdir().context("cannot make a directory")?;
    let path = dir.path().join("worker.pid");
    let (mut worker, _input) = start("worker", &path)?;
    // ANCHOR: proof
    let pid_file = File::open(&path)?;
    assert!(matches!(pid_file.try_lock(), Err(TryLockError::WouldBlock)));
    worker.kill()?;
    worker.wait()?;
    // The file still names a process, but there is none.
    let pid = Pid::from_raw(fs::read_to_string(&path)?.trim().parse()?);
    assert_eq!(kill(pid, None), Err(Errno::ESRCH));
    // The lock is free: that is the truth.
    assert!(pid_file.try_lock().is_ok());
    pid_file.unlock()?;

    // A worker's fork has a copy of the open file, and so of the lock.
    let (mut worker, input) = start("forking-worker", &path)?;
    worker.kill()?;
    worker.wait()?;
    assert!(matches!(pid_file.try_lock(), Err(TryLockError::WouldBlock)));
    drop(input); // the fork ends
    wait()?;
    assert!(pid_file.try_lock().is_ok());
    // ANCHOR_END: proof
    println!("PID file after the kill: names a process that is gone");
    println!("lock after the kill: free");
    println!("lock after the kill, with a fork that lives: held");
    Ok(())
}

fn start(role: &str, path: &Path) -> Result<(Child, ChildStdin)> {
    let mut worker = Command::new(env::current_exe()?)
        .arg(role)
        .arg(path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start the worker")?;
    let input = worker.stdin.take().context("the worker has no input")?;
    let output = worker.stdout.take().context("the worker has no output")?;
    let mut line = String::new();
    BufReader::new(output).read_line(&mut line)?;
    if line != "locked\n" {
        drop(input); // it ends, if it has not
        let end = worker.wait()?;
        bail!("the worker said {line:?}, not \"locked\": {end}");
    }
    Ok((worker, input))
}

fn worker(path: &str) -> Result<()> {
    let _pid_file = lock(path)?;
    println!("locked");
    wait_for_end_of_input()
}

/// Its fork lives as long as its input, also without it.
fn forking_worker(path: &str) -> Result<()> {
    let pid_file = lock(path)?;
    // SAFETY: this process has only one thread.
    match unsafe { fork() }.context("cannot fork")? {
        ForkResult::Child => {
            let _ = wait_for_end_of_input();
            // SAFETY: ends the process, without a destructor of its parent's.
            unsafe { libc::_exit(0) }
        }
        ForkResult::Parent { .. } => {
            println!("locked");
            wait_for_end_of_input()?;
            wait()?;
            drop(pid_file);
            Ok(())
        }
    }
}

fn lock(path: &str) -> Result<File> {
    let mut pid_file =
        File::create(path).with_context(|| format!("cannot create {path}"))?;
    pid_file.try_lock().context("another worker is running")?;
    writeln!(pid_file, "{}", process::id())?;
    Ok(pid_file)
}

fn wait_for_end_of_input() -> Result<()> {
    io::copy(&mut io::stdin(), &mut io::sink())?;
    Ok(())
}

fn adopt_orphans() -> Result<()> {
    if cfg!(not(target_os = "linux")) {
        bail!("this program adopts orphans, which takes Linux");
    }
    #[cfg(target_os = "linux")]
    nix::sys::prctl::set_child_subreaper(true)?;
    // If our starter ignored SIGCHLD, nobody could be waited for.
    // SAFETY: the default action runs no code of this process.
    unsafe { signal(Signal::SIGCHLD, SigHandler::SigDfl) }?;
    Ok(())
}
// ANCHOR_END: all
