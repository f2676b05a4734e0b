// ANCHOR: all
//! Works while a logger runs in the background, and joins the logger at the end.

use std::env;
use std::io::{self, Write};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => parent(),
        Some("logger") => logger(),
        Some(role) => bail!("unknown role {role:?}: expected \"logger\""),
    }
}

fn parent() -> Result<()> {
    println!("main: starts the logger");
    let mut logger = start_logger()?;
    // ANCHOR: work
    let mut log = logger.stdin.take().context("the logger has no input")?;
    for limit in [10, 100, 1000] {
        let primes = (2..limit).filter(|&n| is_prime(n)).count();
        writeln!(log, "{primes} primes below {limit}")?;
    }
    let running = logger.try_wait()?.is_none();
    // ANCHOR_END: work

    // ANCHOR: join
    // The end of its input is the logger's signal to stop.
    drop(log);
    let status = logger.wait()?;
    println!("main: the logger ran all the time: {running}");
    println!("main: joined the logger: {status}");
    // ANCHOR_END: join
    Ok(())
}

fn is_prime(n: i32) -> bool {
    (2..n).all(|divisor| n % divisor != 0)
}

// ANCHOR: logger
fn logger() -> Result<()> {
    for (number, record) in (1..).zip(io::stdin().lines()) {
        println!("logger: {number}: {}", record?);
    }
    println!("logger: no more records");
    Ok(())
}
// ANCHOR_END: logger

// ANCHOR: start
fn start_logger() -> Result<Child> {
    Command::new(env::current_exe()?)
        .arg("logger")
        .stdin(Stdio::piped())
        .spawn()
        .context("cannot start the logger")
}
// ANCHOR_END: start
// ANCHOR_END: all
