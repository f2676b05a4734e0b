// ANCHOR: all
//! Asks a worker to end, waits for a limited time, and then kills it.

use std::io::{self, BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, mpsc};
use std::time::Duration;
use std::{env, thread};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{self, SigHandler, SigSet};
use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid,
};
use signal_hook::consts::SIGTERM;
use signal_hook::flag;

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => parent(),
        Some("polite") => polite(),
        Some("stubborn") => stubborn(),
        Some(role) => {
            bail!("unknown role {role:?}: expected \"polite\" or \"stubborn\"")
        }
    }
}

fn parent() -> Result<()> {
    for (role, grace_ms) in [("polite", 10_000), ("stubborn", 100)] {
        let mut worker = start_worker(role)?;
        let stopped = stop(&mut worker, Duration::from_millis(grace_ms));
        // Waiting closes its standard input, so it ends in any case.
        let status = worker.wait().context("cannot wait for the worker")?;
        stopped?;
        println!("{role}: {status}");
    }
    Ok(())
}

// ANCHOR: stop
fn stop(worker: &mut Child, grace: Duration) -> Result<()> {
    let pid = Pid::from_child(worker);
    let (ended, end) = mpsc::channel();
    let watch = move || {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        let _ = ended.send(waitid(WaitId::Pid(pid), options).map(drop));
    };
    thread::Builder::new().spawn(watch)?;
    kill_process(pid, Signal::TERM).context("cannot send SIGTERM")?;
    match end.recv_timeout(grace) {
        Ok(seen) => seen.context("cannot see the worker's end"),
        Err(_) => worker.kill().context("cannot kill the worker"),
    }
}
// ANCHOR_END: stop

// ANCHOR: stubborn
/// Takes no notice of SIGTERM: the signal sets a flag, and nobody looks at it.
fn stubborn() -> Result<()> {
    flag::register(SIGTERM, Arc::default())?;
    wait_for_end_of_file()
}
// ANCHOR_END: stubborn

/// Leaves it to the kernel what SIGTERM does.
fn polite() -> Result<()> {
    // SAFETY: the default action runs no code of this program.
    unsafe { signal::signal(signal::SIGTERM, SigHandler::SigDfl) }?;
    SigSet::from(signal::SIGTERM).thread_unblock()?;
    wait_for_end_of_file()
}

fn wait_for_end_of_file() -> Result<()> {
    println!("ready");
    io::read_to_string(io::stdin()).context("cannot read")?;
    Ok(())
}

/// Starts a worker, and returns when the worker has said that it is ready.
fn start_worker(role: &str) -> Result<Child> {
    let mut worker = Command::new(env::current_exe()?)
        .arg(role)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start the worker")?;
    if let Err(error) = hear_ready(&mut worker) {
        // Waiting closes its standard input, so it ends in any case.
        let status = worker.wait().context("cannot wait for the worker")?;
        return Err(error.context(format!("the worker has ended: {status}")));
    }
    Ok(worker)
}

fn hear_ready(worker: &mut Child) -> Result<()> {
    let output = worker.stdout.take().context("the worker has no output")?;
    let mut line = String::new();
    BufReader::new(output).read_line(&mut line)?;
    ensure!(line == "ready\n", "the worker said {line:?}, not \"ready\"");
    Ok(())
}
// ANCHOR_END: all
