// ANCHOR: all
//! Creates, starts and joins two workers, and reads how they ended.

use std::env;
use std::ffi::OsString;
use std::io::{self, Write};
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};

use anyhow::{Context, Result, bail};

fn main() -> Result<ExitCode> {
    let mut args = env::args_os().skip(1);
    match args.next() {
        None => parent(),
        Some(role) if role == "add" => {
            add(number(args.next())?, number(args.next())?)
        }
        Some(role) if role == "fail" => fail(),
        Some(role) => {
            bail!("unknown role {role:?}: expected \"add\" or \"fail\"")
        }
    }
}

// ANCHOR: parent
fn parent() -> Result<ExitCode> {
    let mut out = io::stdout();
    let mut adder = start(worker(&["add", "2", "40"])?)?;
    let mut failing = start(worker(&["fail"])?)?;
    let alive = (is_alive(&mut adder)?, is_alive(&mut failing)?);
    writeln!(out, "alive: {} {}", alive.0, alive.1)?;
    writeln!(out, "add: {}", join(&mut adder)?)?;
    writeln!(out, "fail: {}", join(&mut failing)?)?;
    let alive = (is_alive(&mut adder)?, is_alive(&mut failing)?);
    writeln!(out, "alive: {} {}", alive.0, alive.1)?;
    Ok(ExitCode::SUCCESS)
}
// ANCHOR_END: parent

// ANCHOR: create
fn worker(role: &[&str]) -> Result<Command> {
    let mut command = Command::new(env::current_exe()?);
    command.args(role).stdin(Stdio::piped());
    Ok(command)
}
// ANCHOR_END: create

fn start(mut command: Command) -> Result<Worker> {
    let child = command.spawn().context("cannot start a worker")?;
    Ok(Worker(child))
}

/// A worker that is joined in any case, also when the parent fails.
struct Worker(Child);

impl Drop for Worker {
    fn drop(&mut self) {
        // Joined already, or the parent is returning another error.
        let _ = self.0.wait();
    }
}

// ANCHOR: is_alive
fn is_alive(worker: &mut Worker) -> Result<bool> {
    let status = worker.0.try_wait().context("cannot look at a worker")?;
    Ok(status.is_none())
}
// ANCHOR_END: is_alive

fn join(worker: &mut Worker) -> Result<ExitStatus> {
    worker.0.wait().context("cannot wait for a worker")
}

fn add(a: i64, b: i64) -> Result<ExitCode> {
    wait_for_go()?;
    let sum = a.checked_add(b).context("the sum is too big")?;
    writeln!(io::stdout(), "{a} + {b} = {sum}")?;
    Ok(ExitCode::SUCCESS)
}

fn fail() -> Result<ExitCode> {
    wait_for_go()?;
    Ok(ExitCode::from(3))
}

// ANCHOR: go
/// Returns when the parent closes its end of standard input.
fn wait_for_go() -> Result<()> {
    io::copy(&mut io::stdin(), &mut io::sink())
        .context("cannot read standard input")?;
    Ok(())
}
// ANCHOR_END: go

fn number(arg: Option<OsString>) -> Result<i64> {
    let arg = arg.context("\"add\" needs two numbers")?;
    let digits = arg.to_str().unwrap_or_default();
    digits
        .parse()
        .with_context(|| format!("{arg:?} is not a number"))
}
// ANCHOR_END: all
