// ANCHOR: all
//! Exercise: join every worker, also when one of them has failed.

use std::env;
use std::process::{self, Child, Command};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, raise};
use nix::sys::wait::waitpid;

fn main() -> Result<()> {
    let mut args = env::args().skip(1);
    match args.next().as_deref() {
        None => limited(check),
        Some("exit") => {
            let code = args.next().context("\"exit\" needs an exit code")?;
            process::exit(code.parse()?)
        }
        Some("killed") => {
            raise(Signal::SIGKILL).context("cannot raise SIGKILL")
        }
        Some(role) => {
            bail!("unknown role {role:?}: expected \"exit\" or \"killed\"")
        }
    }
}

// ANCHOR: task
/// Joins all workers. If any has failed, the error names each one that has.
fn join_all(workers: Vec<Child>) -> Result<()> {
    for (number, mut worker) in workers.into_iter().enumerate() {
        let status = worker.wait()?;
        ensure!(status.success(), "worker {number}: {status}");
    }
    Ok(())
}
// ANCHOR_END: task

fn check() -> Result<()> {
    // Where SIGCHLD is ignored there is no status, and no answer is right.
    let mut first = start(&["exit 0"])?.remove(0);
    first.wait().context("cannot wait for a worker")?;

    // Another code each time: an error that is written down cannot name it.
    let code = 3 + process::id() % 200;
    let ends = ["exit 0", &format!("exit {code}"), "killed", "exit 0"];
    let result = join_all(start(&ends)?);
    let mut left = 0;
    while waitpid(None, None).is_ok() {
        left += 1;
    }
    ensure!(left == 0, "not solved yet: {left} workers were not joined");
    let error = result
        .err()
        .context("not solved yet: where is the error?")?;
    let message = format!("{error:#}");
    let failed = format!("worker 1: exit status: {code}");
    for part in [failed.as_str(), "worker 2: signal: 9"] {
        ensure!(
            message.contains(part),
            "not solved yet: no {part:?} in {message:?}"
        );
    }
    for part in ["worker 0", "worker 3"] {
        ensure!(
            !message.contains(part),
            "not solved yet: {part} has not failed, but: {message:?}"
        );
    }
    join_all(start(&["exit 0", "exit 0"])?)
        .context("not solved yet: nobody failed")?;
    println!("solved");
    Ok(())
}

fn start(ends: &[&str]) -> Result<Vec<Child>> {
    let mut workers = Vec::new();
    for end in ends {
        let mut command = Command::new(env::current_exe()?);
        match command.args(end.split(' ')).spawn() {
            Ok(worker) => workers.push(worker),
            Err(error) => {
                workers.iter_mut().for_each(|it| drop(it.wait()));
                return Err(error).context("cannot start a worker");
            }
        }
    }
    Ok(workers)
}

/// Runs the check, and says so if it does not end.
fn limited(check: fn() -> Result<()>) -> Result<()> {
    let (sender, receiver) = mpsc::channel();
    thread::Builder::new()
        .spawn(move || sender.send(check()))
        .context("cannot start a thread")?;
    match receiver.recv_timeout(Duration::from_secs(10)) {
        Ok(result) => result,
        Err(RecvTimeoutError::Timeout) => bail!("not solved yet: it hangs"),
        Err(_) => bail!("not solved yet: it panicked"),
    }
}
// ANCHOR_END: all
