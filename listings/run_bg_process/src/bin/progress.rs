// ANCHOR: all
//! Shows the progress of a background process while the main program works.

use std::env;
use std::io::{self, BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Receiver, TryRecvError};
use std::thread;

use anyhow::{Context, Result, bail, ensure};

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => parent(),
        Some("counter") => counter(),
        Some(role) => bail!("unknown role {role:?}: expected \"counter\""),
    }
}

fn parent() -> Result<()> {
    let mut counter = start_counter()?;
    let shown = show_progress(&mut counter);
    let status = counter.wait().context("cannot wait for the counter")?;
    shown?;
    ensure!(status.success(), "the counter has failed: {status}");
    println!("main: joined the counter: {status}");
    Ok(())
}

// ANCHOR: reports
fn show_progress(counter: &mut Child) -> Result<()> {
    let output = counter.stdout.take().context("no output to read")?;
    let reports = forward(output)?;
    loop {
        work();
        match reports.try_recv() {
            Ok(report) => println!("counter: {}", report?),
            Err(TryRecvError::Empty) => {}
            Err(TryRecvError::Disconnected) => return Ok(()),
        }
    }
}

/// Reads the lines in a thread, so that nobody else has to wait for them.
fn forward(output: ChildStdout) -> Result<Receiver<io::Result<String>>> {
    let (sender, receiver) = mpsc::channel();
    let read = move || {
        for line in BufReader::new(output).lines() {
            // Nobody receives any more: main has given up.
            if sender.send(line).is_err() {
                break;
            }
        }
    };
    thread::Builder::new()
        .spawn(read)
        .context("cannot start a thread")?;
    Ok(receiver)
}
// ANCHOR_END: reports

/// One short piece of the main program's own work.
fn work() {
    std::hint::black_box((0..10_000).sum::<u64>());
}

// ANCHOR: counter
fn counter() -> Result<()> {
    let mut primes = 0;
    for percent in 1..=100 {
        let block = (percent - 1) * 20..percent * 20;
        primes += block.filter(|&n| is_prime(n)).count();
        if percent % 25 == 0 {
            println!("{percent}% done, {primes} primes");
        }
    }
    Ok(())
}
// ANCHOR_END: counter

fn is_prime(n: i32) -> bool {
    n > 1 && (2..n).all(|divisor| n % divisor != 0)
}

fn start_counter() -> Result<Child> {
    Command::new(env::current_exe()?)
        .arg("counter")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start the counter")
}
// ANCHOR_END: all
