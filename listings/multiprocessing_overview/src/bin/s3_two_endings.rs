// ANCHOR: all
//! Runs two workers, one after the other, and reads how they ended.

use std::env;
use std::process::{Command, ExitCode, ExitStatus};

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

// ANCHOR: endings
fn parent() -> Result<ExitCode> {
    println!("add: {}", run(&["add", "2", "40"])?);
    println!("fail: {}", run(&["fail"])?);
    Ok(ExitCode::SUCCESS)
}

fn run(role: &[&str]) -> Result<ExitStatus> {
    let mut command = Command::new(env::current_exe()?);
    command.args(role);
    let mut worker = command.spawn().context("cannot start a worker")?;
    worker.wait().context("cannot wait for a worker")
}

fn fail() -> Result<ExitCode> {
    Ok(ExitCode::from(3))
}
// ANCHOR_END: endings

fn add(a: i64, b: i64) -> Result<ExitCode> {
    let sum = a.checked_add(b).context("the sum is too big")?;
    println!("{a} + {b} = {sum}");
    Ok(ExitCode::SUCCESS)
}

fn number(arg: Option<String>) -> Result<i64> {
    let arg = arg.context("\"add\" needs two numbers")?;
    arg.parse()
        .with_context(|| format!("{arg:?} is not a number"))
}
// ANCHOR_END: all
