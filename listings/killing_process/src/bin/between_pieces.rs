// ANCHOR: all
//! Stops a worker that works, between two pieces of its work.

use std::env;
use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::Pid;
use signal_hook::consts::SIGTERM;
use signal_hook::flag;

const PIECES: u32 = 5;

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => parent(),
        Some("worker") => worker(),
        Some(role) => bail!("unknown role {role:?}: expected \"worker\""),
    }
}

// ANCHOR: worker
fn worker() -> Result<()> {
    let asked = Arc::new(AtomicBool::new(false));
    flag::register(SIGTERM, Arc::clone(&asked))?;
    // The parent may have been started with signals blocked.
    SigSet::all().thread_unblock().context("cannot unblock")?;
    for piece in 1..=PIECES {
        if asked.load(Ordering::Relaxed) {
            println!("asked to end, left to do: {piece} to {PIECES}");
            return Ok(());
        }
        work(piece)?;
    }
    Ok(())
}

/// Stands for real work; the second half begins when the parent says so.
fn work(piece: u32) -> Result<()> {
    println!("piece {piece}: half done");
    let mut line = String::new();
    ensure!(io::stdin().read_line(&mut line)? > 0, "the parent is gone");
    println!("piece {piece}: done");
    Ok(())
}
// ANCHOR_END: worker

fn parent() -> Result<()> {
    let mut worker = Command::new(env::current_exe()?)
        .arg("worker")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start the worker")?;
    let heard = ask_in_the_middle(&mut worker);
    // Waiting closes its standard input, so it ends in any case.
    let status = worker.wait().context("cannot wait for the worker")?;
    for line in heard? {
        println!("{line}");
    }
    println!("{status}");
    Ok(())
}

fn ask_in_the_middle(worker: &mut Child) -> Result<Vec<String>> {
    let pid = Pid::from_raw(worker.id().try_into()?);
    let mut input = worker.stdin.take().context("no pipe to the worker")?;
    let output = worker.stdout.take().context("no pipe from the worker")?;
    let mut heard = Vec::new();
    for line in BufReader::new(output).lines() {
        let line = line?;
        let half_done = line.ends_with("half done");
        let is_second = line == "piece 2: half done";
        heard.push(line);
        if is_second {
            kill(pid, Signal::SIGTERM).context("cannot ask the worker")?;
            heard.push("SIGTERM is sent".to_owned());
        }
        if half_done {
            writeln!(input, "go on").context("cannot tell the worker")?;
        }
    }
    Ok(heard)
}
// ANCHOR_END: all
