// ANCHOR: all
//! Proves that a panic in a task is an error, and the worker goes on.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};
use std::{env, panic};

use anyhow::{Context, Result, bail, ensure};

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
    send(&mut worker, "12 3")?;
    assert_eq!(receive(&mut worker)?, "Ok(4)");
    send(&mut worker, "12 0")?;
    let error = receive(&mut worker)?;
    assert_eq!(error, "Err(\"attempt to divide by zero\")");
    send(&mut worker, "12 4")?;
    assert_eq!(receive(&mut worker)?, "Ok(3)", "the same worker goes on");
    worker.wait()?;
    println!("12 / 0: {error}");
    Ok(())
}

fn run(task: &str) -> Result<u64, String> {
    panic::catch_unwind(|| divide(task)).map_err(|panic| {
        let text = panic.downcast_ref::<&str>().map(|it| it.to_string());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
        text.unwrap_or_else(|| "a panic without a text".to_owned())
    })
}
// ANCHOR_END: proof

fn divide(task: &str) -> u64 {
    let numbers = task.split(' ').map(|it| it.parse().unwrap_or(0));
    numbers.reduce(|a: u64, b| a / b).unwrap_or(0)
}

fn worker() -> Result<()> {
    // The text goes to the parent, so it need not be printed here as well.
    panic::set_hook(Box::new(|_| {}));
    for task in io::stdin().lines() {
        println!("{:?}", run(&task?));
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
