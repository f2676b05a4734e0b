// ANCHOR: all
//! Proves that a worker's death costs one task, however the worker dies.

use std::env;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{self, Child, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, raise};

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => parent(),
        Some("worker") => worker(),
        Some(role) => bail!("unknown role {role:?}: expected \"worker\""),
    }
}

// ANCHOR: proof
fn parent() -> Result<()> {
    let mut worker = start_worker()?;
    let mut answers = Vec::new();
    for task in ["1", "abort", "2", "exit", "5", "kill", "4"] {
        let sent = send(&mut worker, task);
        answers.push(match sent.and_then(|()| receive(&mut worker)) {
            Ok(answer) => answer,
            Err(_) => {
                worker.kill()?;
                let status = worker.wait()?;
                worker = start_worker()?;
                status.to_string()
            }
        });
    }
    let [abort, exit, kill] = [
        "signal: 6 (SIGABRT)",
        "exit status: 0",
        "signal: 9 (SIGKILL)",
    ];
    assert_eq!(answers, ["1", abort, "4", exit, "25", kill, "16"]);
    worker.wait()?;
    // ANCHOR_END: proof
    println!("abort, exit, kill: one lost task each, all others done");
    Ok(())
}

fn worker() -> Result<()> {
    // An abort leaves no core file behind.
    #[cfg(target_os = "linux")]
    nix::sys::prctl::set_dumpable(false)?;
    for task in io::stdin().lines() {
        match task?.as_str() {
            "abort" => process::abort(),
            "exit" => process::exit(0),
            "kill" => raise(Signal::SIGKILL)?,
            number => println!("{}", number.parse::<u64>()?.pow(2)),
        }
    }
    Ok(())
}

fn send(worker: &mut Child, task: &str) -> Result<()> {
    let tasks = worker.stdin.as_mut().context("no pipe to the worker")?;
    tasks.write_all(format!("{task}\n").as_bytes())?;
    Ok(())
}

/// Reads one answer. An empty one is the end of the worker.
fn receive(worker: &mut Child) -> Result<String> {
    let results = worker.stdout.as_mut().context("no pipe from the worker")?;
    let mut line = String::new();
    BufReader::new(results.take(4096)).read_line(&mut line)?;
    ensure!(line.ends_with('\n'), "the worker has ended");
    Ok(line.trim_end().to_owned())
}

fn start_worker() -> Result<Child> {
    Command::new(env::current_exe()?)
        .arg("worker")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start a worker")
}
// ANCHOR_END: all
