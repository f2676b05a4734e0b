// ANCHOR: all
//! Works while a logger runs in the background, and joins the logger at the end.

use std::env;
use std::io::{self, Write};
use std::process::{Child, Command, ExitStatus, Stdio};

use anyhow::{Context, Result, bail, ensure};

fn main() -> Result<()> {
    match env::args_os().nth(1) {
        None => parent(),
        Some(role) if role == "logger" => logger(),
        Some(role) => bail!("unknown role {role:?}: expected \"logger\""),
    }
}

fn parent() -> Result<()> {
    let mut out = io::stdout();
    writeln!(out, "main: starts the logger")?;
    let mut logger = start_logger()?;
    // ANCHOR: join
    let worked = work(&mut logger);
    // Whatever has gone wrong there, the logger is joined.
    let (running, status) = match (worked, join(logger)) {
        (Err(work), Err(join)) => bail!("{join:#}; the work: {work:#}"),
        (worked, joined) => (worked?, joined?),
    };
    writeln!(out, "main: the logger ran all the time: {running}")?;
    writeln!(out, "main: joined the logger: {status}")?;
    // ANCHOR_END: join
    Ok(())
}

// ANCHOR: wait
fn join(mut logger: Child) -> Result<ExitStatus> {
    let status = logger.wait().context("cannot wait for the logger")?;
    ensure!(status.success(), "the logger has failed: {status}");
    Ok(status)
}
// ANCHOR_END: wait

// ANCHOR: work
fn work(logger: &mut Child) -> Result<bool> {
    let mut log = logger.stdin.take().context("the logger has no input")?;
    for limit in [10, 100, 1000] {
        let primes = (2..limit).filter(|&n| is_prime(n)).count();
        writeln!(log, "{primes} primes below {limit}")
            .context("cannot write a record")?;
    }
    let running = logger.try_wait()?.is_none();
    // The end of its input is the logger's signal to stop.
    drop(log);
    Ok(running)
}
// ANCHOR_END: work

fn is_prime(n: i32) -> bool {
    (2..n).all(|divisor| n % divisor != 0)
}

// ANCHOR: logger
fn logger() -> Result<()> {
    for (number, record) in (1..).zip(io::stdin().lines()) {
        writeln!(io::stdout(), "logger: {number}: {}", record?)?;
    }
    writeln!(io::stdout(), "logger: no more records")?;
    Ok(())
}
// ANCHOR_END: logger

fn start_logger() -> Result<Child> {
    Command::new(env::current_exe()?)
        .arg("logger")
        .stdin(Stdio::piped())
        .spawn()
        .context("cannot start the logger")
}
// ANCHOR_END: all
