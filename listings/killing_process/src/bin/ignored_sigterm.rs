// ANCHOR: all
//! Proves that a sent SIGTERM may be ignored, and that SIGKILL cannot be.

use std::env;
use std::io::{self, BufRead, BufReader, Lines, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::sys::signal::{SigHandler, Signal, kill, signal};
use nix::unistd::Pid;

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => parent(),
        Some("worker") => worker(),
        Some(role) => bail!("unknown role {role:?}: expected \"worker\""),
    }
}

// ANCHOR: worker
fn worker() -> Result<()> {
    // SAFETY: SIG_IGN installs no handler, so no code of ours runs on a signal.
    let term = unsafe { signal(Signal::SIGTERM, SigHandler::SigIgn) };
    // SAFETY: as above.
    let kill = unsafe { signal(Signal::SIGKILL, SigHandler::SigIgn) };
    assert!(term.is_ok());
    assert_eq!(kill.err(), Some(Errno::EINVAL));
    println!("ready");
    io::copy(&mut io::stdin(), &mut io::stdout())
        .context("cannot copy standard input")?;
    Ok(())
}
// ANCHOR_END: worker

// ANCHOR: proof
fn parent() -> Result<()> {
    let (mut worker, mut input, mut output) = start_worker()?;
    assert_eq!(output.next().transpose()?.as_deref(), Some("ready"));

    let pid = Pid::from_raw(worker.id().try_into()?);
    assert_eq!(kill(pid, Signal::SIGTERM), Ok(()));
    writeln!(input, "still there?")?;
    assert_eq!(output.next().transpose()?.as_deref(), Some("still there?"));
    let alive = worker.try_wait()?;
    worker.kill()?;
    let status = worker.wait()?;
    println!("after SIGTERM: {alive:?}");
    println!("after Child::kill: {status}");
    assert_eq!((alive, status.signal()), (None, Some(9)));
    Ok(())
}
// ANCHOR_END: proof

type Output = Lines<BufReader<ChildStdout>>;

fn start_worker() -> Result<(Child, ChildStdin, Output)> {
    let mut worker = Command::new(env::current_exe()?)
        .arg("worker")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start the worker")?;
    let input = worker.stdin.take().context("no pipe to the worker")?;
    let output = worker.stdout.take().context("no pipe from the worker")?;
    Ok((worker, input, BufReader::new(output).lines()))
}
// ANCHOR_END: all
