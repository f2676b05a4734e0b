// ANCHOR: all
//! Creates, starts and joins two workers, and reads how they ended.

use std::io::{self, Read};
use std::process::{Child, Command, Stdio};
use std::{env, process};

use anyhow::{Context, Result, bail};

// ANCHOR: main
fn main() -> Result<()> {
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
// ANCHOR_END: main

fn parent() -> Result<()> {
    // ANCHOR: start
    let mut adder = worker(&["add", "2", "40"])?.spawn()?;
    let mut failing = worker(&["fail"])?.spawn()?;
    // ANCHOR_END: start
    println!(
        "alive: {} {}",
        is_alive(&mut adder)?,
        is_alive(&mut failing)?
    );
    // ANCHOR: join
    println!("add: {}", adder.wait()?);
    println!("fail: {}", failing.wait()?);
    // ANCHOR_END: join
    println!(
        "alive: {} {}",
        is_alive(&mut adder)?,
        is_alive(&mut failing)?
    );
    Ok(())
}

// ANCHOR: create
fn worker(role: &[&str]) -> Result<Command> {
    let mut command = Command::new(env::current_exe()?);
    command.args(role).stdin(Stdio::piped());
    Ok(command)
}
// ANCHOR_END: create

// ANCHOR: is_alive
fn is_alive(worker: &mut Child) -> Result<bool> {
    let status = worker.try_wait().context("cannot look at a worker")?;
    Ok(status.is_none())
}
// ANCHOR_END: is_alive

// ANCHOR: targets
fn add(a: i64, b: i64) -> Result<()> {
    wait_for_go()?;
    let sum = a.checked_add(b).context("the sum is too big")?;
    println!("{a} + {b} = {sum}");
    Ok(())
}

fn fail() -> Result<()> {
    wait_for_go()?;
    process::exit(3)
}
// ANCHOR_END: targets

// ANCHOR: go
/// Returns when the parent closes its end of standard input.
fn wait_for_go() -> Result<()> {
    io::stdin()
        .read_to_end(&mut Vec::new())
        .context("cannot read standard input")?;
    Ok(())
}
// ANCHOR_END: go

// ANCHOR: number
fn number(arg: Option<String>) -> Result<i64> {
    let arg = arg.context("\"add\" needs two numbers")?;
    arg.parse()
        .with_context(|| format!("{arg:?} is not a number"))
}
// ANCHOR_END: number
// ANCHOR_END: all
