// ANCHOR: all
//! Exercise: start a worker in a session of its own.

use std::env;
use std::io::{self, BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use nix::unistd::{Pid, getsid};

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => check(),
        Some("worker") => worker(),
        Some(role) => bail!("unknown role {role:?}: expected \"worker\""),
    }
}

// ANCHOR: exercise
fn start_worker() -> Result<Child> {
    // Here the worker joins our session. Give it one of its own.
    Command::new(env::current_exe()?)
        .arg("worker")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start the worker")
}
// ANCHOR_END: exercise

fn check() -> Result<()> {
    let mut worker = start_worker()?;
    // Once it has said so, the worker is what it is going to be.
    let output = worker.stdout.take().context("the worker has no output")?;
    let mut line = String::new();
    BufReader::new(output).read_line(&mut line)?;
    ensure!(line == "ready\n", "the worker said {line:?}, not \"ready\"");
    let pid = Pid::from_raw(worker.id().try_into()?);
    let session = getsid(Some(pid))?;
    drop(worker.stdin.take());
    worker.wait()?;
    ensure!(
        session == pid,
        "not solved yet: the worker is in our session"
    );
    println!("solved: the worker leads a session");
    Ok(())
}

fn worker() -> Result<()> {
    println!("ready");
    io::copy(&mut io::stdin(), &mut io::sink())?;
    Ok(())
}
// ANCHOR_END: all
