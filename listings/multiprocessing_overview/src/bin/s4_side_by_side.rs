// ANCHOR: all
//! Starts two workers before it joins the first, and leaves none behind.

use std::env;
use std::process::{Child, Command, ExitCode, ExitStatus};

use anyhow::{Context, Result, bail};

fn main() -> Result<ExitCode> {
    let mut args = env::args().skip(1);
    match args.next().as_deref() {
        None => parent(),
        Some("add") => add(number(args.next())?, number(args.next())?),
        Some("fail") => fail(),
        Some(role) => {
            bail!("unknown role {role:?}: expected \"add\" or \"fail\"")
        }
    }
}

// ANCHOR: together
fn parent() -> Result<ExitCode> {
    let mut adder = start(&["add", "2", "40"])?;
    let mut failing = start(&["fail"])?;
    println!("add: {}", join(&mut adder)?);
    println!("fail: {}", join(&mut failing)?);
    Ok(ExitCode::SUCCESS)
}

fn start(role: &[&str]) -> Result<Worker> {
    let mut command = Command::new(env::current_exe()?);
    command.args(role);
    let child = command.spawn().context("cannot start a worker")?;
    Ok(Worker(child))
}

fn join(worker: &mut Worker) -> Result<ExitStatus> {
    worker.0.wait().context("cannot wait for a worker")
}
// ANCHOR_END: together

// ANCHOR: guard
/// A worker that is joined in any case, also when the parent fails.
struct Worker(Child);

impl Drop for Worker {
    fn drop(&mut self) {
        // Joined already, or the parent is returning another error.
        let _ = self.0.wait();
    }
}
// ANCHOR_END: guard

fn add(a: i64, b: i64) -> Result<ExitCode> {
    let sum = a.checked_add(b).context("the sum is too big")?;
    println!("{a} + {b} = {sum}");
    Ok(ExitCode::SUCCESS)
}

fn fail() -> Result<ExitCode> {
    Ok(ExitCode::from(3))
}

fn number(arg: Option<String>) -> Result<i64> {
    let arg = arg.context("\"add\" needs two numbers")?;
    arg.parse()
        .with_context(|| format!("{arg:?} is not a number"))
}
// ANCHOR_END: all
