// ANCHOR: all
//! Asks a worker to stop, and kills it only if it does not stop in time.

use std::io::{self, BufRead, BufReader, Read};
use std::os::fd::AsFd;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::Duration;
use std::{env, process, thread};

use anyhow::{Context, Result, bail, ensure};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigHandler, Signal, kill, signal};
use nix::unistd::Pid;
use signal_hook::iterator::Signals;

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => parent(),
        Some("tidy") => tidy(),
        Some("stubborn") => stubborn(),
        Some(role) => {
            bail!("unknown role {role:?}: expected \"tidy\" or \"stubborn\"")
        }
    }
}

// ANCHOR: parent
fn parent() -> Result<()> {
    for (role, grace_ms) in [("tidy", 10_000), ("stubborn", 100)] {
        let (mut worker, mut output) = start_worker(role)?;
        let grace = Duration::from_millis(grace_ms);
        let status = stop(&mut worker, output.get_ref(), grace)?;
        let mut last_words = String::new();
        output.read_to_string(&mut last_words)?;
        println!("{role}: {status}, last words: {last_words:?}");
    }
    Ok(())
}
// ANCHOR_END: parent

// ANCHOR: stop
/// Sends SIGTERM, waits up to `grace` for the worker's end, then sends SIGKILL.
fn stop(
    worker: &mut Child,
    output: &ChildStdout,
    grace: Duration,
) -> Result<ExitStatus> {
    let pid = Pid::from_raw(worker.id().try_into()?);
    kill(pid, Signal::SIGTERM).context("cannot send SIGTERM to the worker")?;
    // Only the worker holds the other end of this pipe. When the worker ends,
    // the kernel closes it, and poll reports the hang-up.
    let mut ends = [PollFd::new(output.as_fd(), PollFlags::empty())];
    if poll(&mut ends, PollTimeout::try_from(grace)?)? == 0 {
        worker.kill().context("cannot kill the worker")?;
    }
    worker.wait().context("cannot wait for the worker")
}
// ANCHOR_END: stop

// ANCHOR: tidy
fn tidy() -> Result<()> {
    let mut signals = Signals::new([signal_hook::consts::SIGTERM])?;
    end_with_parent();
    println!("ready");
    for _ in signals.forever().take(1) {
        println!("saved my work");
    }
    Ok(())
}
// ANCHOR_END: tidy

// ANCHOR: stubborn
fn stubborn() -> Result<()> {
    // SAFETY: SIG_IGN installs no handler, so no code of ours runs on a signal.
    unsafe { signal(Signal::SIGTERM, SigHandler::SigIgn) }?;
    println!("ready");
    io::copy(&mut io::stdin(), &mut io::sink())
        .context("cannot read standard input")?;
    Ok(())
}
// ANCHOR_END: stubborn

// ANCHOR: lifeline
/// Ends this process when the parent is gone: then nobody holds the other end
/// of standard input, and reading it comes to the end of file.
fn end_with_parent() {
    thread::spawn(|| {
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        eprintln!("the parent is gone");
        process::exit(1);
    });
}
// ANCHOR_END: lifeline

fn start_worker(role: &str) -> Result<(Child, BufReader<ChildStdout>)> {
    let mut worker = Command::new(env::current_exe()?)
        .arg(role)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start the {role} worker"))?;
    let output = worker.stdout.take().context("the worker has no output")?;
    let mut output = BufReader::new(output);
    let mut line = String::new();
    output.read_line(&mut line)?;
    ensure!(line == "ready\n", "the worker said {line:?}, not \"ready\"");
    Ok((worker, output))
}
// ANCHOR_END: all
