// ANCHOR: all
//! Kills the holder of a locked PID file, and looks at what it leaves behind.

use std::env;
use std::fs::{self, File, TryLockError};
use std::io::{self, BufRead, BufReader, Write};
use std::process::{self, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::Pid;

fn main() -> Result<()> {
    let mut args = env::args().skip(1);
    match args.next().as_deref() {
        None => observer(),
        Some("worker") => {
            worker(&args.next().context("the PID file is missing")?)
        }
        Some(role) => bail!("unknown role {role:?}: expected \"worker\""),
    }
}

fn observer() -> Result<()> {
    let dir = tempfile::tempdir().context("cannot make a directory")?;
    let path = dir.path().join("worker.pid");
    let mut worker = Command::new(env::current_exe()?)
        .arg("worker")
        .arg(&path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start the worker")?;
    let output = worker.stdout.take().context("the worker has no output")?;
    let mut line = String::new();
    BufReader::new(output).read_line(&mut line)?;
    ensure!(
        line == "locked\n",
        "the worker said {line:?}, not \"locked\""
    );

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
    // ANCHOR_END: proof
    println!("PID file after the kill: names a process that is gone");
    println!("lock after the kill: free");
    Ok(())
}

fn worker(path: &str) -> Result<()> {
    let mut pid_file =
        File::create(path).with_context(|| format!("cannot create {path}"))?;
    pid_file.try_lock().context("another worker is running")?;
    writeln!(pid_file, "{}", process::id())?;
    println!("locked");
    io::copy(&mut io::stdin(), &mut io::sink())?;
    Ok(())
}
// ANCHOR_END: all
