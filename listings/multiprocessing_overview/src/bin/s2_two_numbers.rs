// ANCHOR: all
//! Starts one worker with two numbers, and waits until it has ended.

use std::env;
use std::process::Command;

use anyhow::{Context, Result, bail};

fn main() -> Result<()> {
    let mut args = env::args().skip(1);
    match args.next().as_deref() {
        None => parent(),
        // ANCHOR: role
        Some("add") => add(number(args.next())?, number(args.next())?),
        // ANCHOR_END: role
        Some(role) => bail!("unknown role {role:?}: expected \"add\""),
    }
}

fn parent() -> Result<()> {
    let mut command = Command::new(env::current_exe()?);
    // ANCHOR: arguments
    command.args(["add", "2", "40"]);
    // ANCHOR_END: arguments
    let mut adder = command.spawn().context("cannot start the worker")?;
    adder.wait().context("cannot wait for the worker")?;
    println!("the worker has ended");
    Ok(())
}

// ANCHOR: add
fn add(a: i64, b: i64) -> Result<()> {
    let sum = a.checked_add(b).context("the sum is too big")?;
    println!("{a} + {b} = {sum}");
    Ok(())
}

fn number(arg: Option<String>) -> Result<i64> {
    let arg = arg.context("\"add\" needs two numbers")?;
    arg.parse()
        .with_context(|| format!("{arg:?} is not a number"))
}
// ANCHOR_END: add
// ANCHOR_END: all
