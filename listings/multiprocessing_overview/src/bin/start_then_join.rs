// ANCHOR: all
//! Starts four workers before it joins the first, and collects their answers.

use std::env;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

fn main() -> Result<()> {
    let mut args = env::args().skip(1);
    match args.next().as_deref() {
        None => parent(),
        Some("square") => square(args.next()),
        Some(role) => bail!("unknown role {role:?}: expected \"square\""),
    }
}

// ANCHOR: parent
fn parent() -> Result<()> {
    let mut workers = Vec::new();
    for number in 1..=4 {
        let worker = Command::new(env::current_exe()?)
            .args(["square", &number.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start worker {number}"))?;
        workers.push((number, worker));
    }
    for (number, worker) in workers {
        let output = worker.wait_with_output()?;
        ensure!(
            output.status.success(),
            "worker {number}: {}",
            output.status
        );
        let answer = String::from_utf8(output.stdout)?;
        println!("{number} squared is {}", answer.trim_end());
    }
    Ok(())
}
// ANCHOR_END: parent

// ANCHOR: square
fn square(arg: Option<String>) -> Result<()> {
    let arg = arg.context("square needs a number")?;
    let number: u32 = arg
        .parse()
        .with_context(|| format!("{arg:?} is not a number"))?;
    let square = number
        .checked_mul(number)
        .context("the square is too big")?;
    println!("{square}");
    Ok(())
}
// ANCHOR_END: square
// ANCHOR_END: all
