// ANCHOR: all
//! Hands records to a logger in the background, and goes on working.

use std::env;
use std::io::{self, Write};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => parent(),
        Some("logger") => logger(),
        Some(role) => bail!("unknown role {role:?}: expected \"logger\""),
    }
}

// ANCHOR: feed
fn parent() -> Result<()> {
    let mut logger = Command::new(env::current_exe()?)
        .arg("logger")
        .stdin(Stdio::piped())
        .spawn()
        .context("cannot start the logger")?;
    let worked = work(&mut logger);
    let status = logger.wait().context("cannot wait for the logger")?;
    ensure!(status.success(), "the logger has failed: {status}");
    worked
}

fn work(logger: &mut Child) -> Result<()> {
    let mut log = logger.stdin.take().context("the logger has no input")?;
    for limit in [10, 100, 1000] {
        let primes = primes_below(limit);
        writeln!(log, "{primes} primes below {limit}")
            .context("cannot write a record")?;
    }
    Ok(())
}

fn logger() -> Result<()> {
    for record in io::stdin().lines() {
        println!("logger: {}", record?);
    }
    println!("logger: no more records");
    Ok(())
}
// ANCHOR_END: feed

fn primes_below(limit: i32) -> usize {
    (2..limit).filter(|&n| is_prime(n)).count()
}

fn is_prime(n: i32) -> bool {
    (2..n).all(|divisor| n % divisor != 0)
}
// ANCHOR_END: all
