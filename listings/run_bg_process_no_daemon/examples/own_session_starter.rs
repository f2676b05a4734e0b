// ANCHOR: all
//! Exercise: start a worker in a session of its own.

use std::env;
use std::io::{self, BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

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
    let output = worker.stdout.take().context("the worker has no output")?;
    let (sender, said) = mpsc::channel();
    thread::spawn(move || {
        let mut line = String::new();
        let _ = BufReader::new(output).read_line(&mut line);
        sender.send(line)
    });
    // Once it has said so, the worker is what it is going to be.
    let line = said.recv_timeout(Duration::from_secs(5));
    let pid = Pid::from_raw(worker.id().try_into()?);
    let session = getsid(Some(pid));
    worker.kill()?;
    worker.wait()?;
    let Ok(line) = line else {
        bail!("not solved yet: the worker hangs, it said nothing in 5 s");
    };
    ensure!(
        line == "ready\n",
        "not solved yet: the worker said {line:?}, not \"ready\""
    );
    ensure!(
        session == Ok(pid),
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
