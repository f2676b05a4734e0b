// ANCHOR: all
//! Proves that results come in the order of the arguments, not of arrival.

use std::env;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use crossbeam_channel::bounded;

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => parent(),
        Some("worker") => worker(),
        Some(role) => bail!("unknown role {role:?}: expected \"worker\""),
    }
}

// ANCHOR: proof
fn parent() -> Result<()> {
    let mut workers = [start_worker()?, start_worker()?];
    let handles = [bounded(1), bounded(1)];
    let mut arrived = Vec::new();
    send(&mut workers[0], "first")?;
    send(&mut workers[1], "second")?;
    for index in [1, 0] {
        // The first task ends only after the second, because it waits for this.
        send(&mut workers[index], "go")?;
        let result = receive(&mut workers[index])?;
        arrived.push(result.clone());
        handles[index].0.send(result)?;
    }
    let collected = handles.iter().map(|(_, handle)| handle.recv());
    let collected: Vec<String> = collected.collect::<Result<_, _>>()?;
    assert_eq!(arrived, ["second", "first"]);
    assert_eq!(collected, ["first", "second"]);
    println!("arrived: {arrived:?}, collected: {collected:?}");
    workers
        .iter_mut()
        .try_for_each(|it| it.wait().map(|_| ()))?;
    Ok(())
}
// ANCHOR_END: proof

fn worker() -> Result<()> {
    let mut lines = io::stdin().lines();
    while let Some(task) = lines.next() {
        let task = task?;
        lines.next().context("the parent is gone")??;
        println!("{task}");
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
