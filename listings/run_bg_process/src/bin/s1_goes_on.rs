// ANCHOR: all
//! Goes on working while a child works in the background, and waits at the end.

use std::env;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => parent(),
        Some("counter") => counter(),
        Some(role) => bail!("unknown role {role:?}: expected \"counter\""),
    }
}

// ANCHOR: background
fn parent() -> Result<()> {
    let mut counter = Command::new(env::current_exe()?)
        .arg("counter")
        .spawn()
        .context("cannot start the counter")?;
    let primes = primes_below(100);
    let status = counter.wait().context("cannot wait for the counter")?;
    ensure!(status.success(), "the counter has failed: {status}");
    println!("main: {primes} primes below 100");
    Ok(())
}

fn counter() -> Result<()> {
    println!("counter: {} primes below 1000", primes_below(1000));
    Ok(())
}
// ANCHOR_END: background

fn primes_below(limit: i32) -> usize {
    (2..limit).filter(|&n| is_prime(n)).count()
}

fn is_prime(n: i32) -> bool {
    (2..n).all(|divisor| n % divisor != 0)
}
// ANCHOR_END: all
