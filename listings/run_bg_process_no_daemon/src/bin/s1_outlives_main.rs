// ANCHOR: all
//! Starts a worker that goes on after the program that started it has ended.

use std::env;
use std::io;
use std::mem;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

// ANCHOR: outlives
fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => main_program(),
        Some("worker") => worker(),
        Some(role) => bail!("unknown role {role:?}: expected \"worker\""),
    }
}

fn main_program() -> Result<()> {
    let worker = Command::new(env::current_exe()?)
        .arg("worker")
        .stdin(Stdio::piped())
        .spawn()
        .context("cannot start the worker")?;
    println!("main: started a worker");
    // Not even its pipe is closed before main has ended.
    mem::forget(worker);
    Ok(())
}

fn worker() -> Result<()> {
    // The end of file comes when main has ended.
    io::copy(&mut io::stdin(), &mut io::sink())?;
    println!("worker: main has ended");
    println!("worker: {} primes below 10000", primes_below(10_000));
    Ok(())
}
// ANCHOR_END: outlives

fn primes_below(limit: i32) -> usize {
    (2..limit).filter(|&n| is_prime(n)).count()
}

fn is_prime(n: i32) -> bool {
    (2..n).all(|divisor| n % divisor != 0)
}
// ANCHOR_END: all
