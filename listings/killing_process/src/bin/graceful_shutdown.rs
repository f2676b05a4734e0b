// ANCHOR: all
//! Asks a worker to stop, and kills it only if it does not stop in time.

use std::io::{self, BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Arc, mpsc};
use std::time::Duration;
use std::{env, process, thread};

use anyhow::{Context, Result, anyhow, bail, ensure};
use rustix::io::retry_on_intr;
use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid,
};
use signal_hook::consts::SIGTERM;
use signal_hook::flag;
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
        let (mut worker, output) = start_worker(role)?;
        // Somebody has to read, or the worker is stuck when the pipe is full.
        let reader = thread::spawn(move || io::read_to_string(output));
        let status = stop(&mut worker, Duration::from_millis(grace_ms))?;
        let last_words = reader
            .join()
            .map_err(|_| anyhow!("the reading thread panicked"))??;
        println!("{role}: {status}, last words: {} bytes", last_words.len());
    }
    Ok(())
}
// ANCHOR_END: parent

// ANCHOR: stop
/// Sends SIGTERM, waits up to `grace` for the worker's end, then sends SIGKILL.
fn stop(worker: &mut Child, grace: Duration) -> Result<ExitStatus> {
    // Once the worker is reaped, its number may be somebody else's.
    if let Some(status) = worker.try_wait()? {
        return Ok(status);
    }
    kill_process(Pid::from_child(worker), Signal::TERM)
        .context("cannot send SIGTERM to the worker")?;
    if let Some(status) = wait_timeout(worker, grace)? {
        return Ok(status);
    }
    worker.kill().context("cannot kill the worker")?;
    worker.wait().context("cannot wait for the worker")
}

/// Waits up to `limit` for the end of `child`; `None` means: not yet.
fn wait_timeout(
    child: &mut Child,
    limit: Duration,
) -> Result<Option<ExitStatus>> {
    let id = WaitId::Pid(Pid::from_child(child));
    // NOWAIT only looks: the status, and with it the number, stays.
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    let (ended, end) = mpsc::channel();
    thread::spawn(move || {
        let _ = ended.send(retry_on_intr(|| waitid(id.clone(), options)));
    });
    match end.recv_timeout(limit) {
        Ok(seen) => {
            seen.context("cannot wait for the end of the process")?;
            Ok(Some(child.wait()?))
        }
        Err(_) => Ok(None),
    }
}
// ANCHOR_END: stop

// ANCHOR: tidy
fn tidy() -> Result<()> {
    let mut signals = Signals::new([SIGTERM])?;
    end_with_parent();
    println!("ready");
    for _ in signals.forever().take(1) {
        println!("{}", "saved. ".repeat(30_000));
    }
    Ok(())
}
// ANCHOR_END: tidy

fn stubborn() -> Result<()> {
    // The signal sets a flag, and nobody looks at the flag.
    flag::register(SIGTERM, Arc::default())?;
    println!("ready");
    io::copy(&mut io::stdin(), &mut io::sink())
        .context("cannot read standard input")?;
    Ok(())
}

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

/// Starts the worker, and returns it with its output after the line `ready`.
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
