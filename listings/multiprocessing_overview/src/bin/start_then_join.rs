// ANCHOR: all
//! Starts four workers before it joins the first, and collects their answers.

use std::env;
use std::process::{Child, Command, Stdio};

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
        workers.push((number, start(number)));
    }
    let mut answers = Vec::new();
    for (number, worker) in workers {
        // No `?` here: each is joined, whatever has become of the others.
        answers.push((number, worker.and_then(join)));
    }
    for (number, answer) in answers {
        let answer = answer.with_context(|| format!("worker {number}"))?;
        println!("{number} squared is {answer}");
    }
    Ok(())
}

fn start(number: u32) -> Result<Child> {
    Command::new(env::current_exe()?)
        .args(["square", &number.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start it")
}

fn join(worker: Child) -> Result<String> {
    let output = worker.wait_with_output().context("cannot wait for it")?;
    ensure!(output.status.success(), "it failed: {}", output.status);
    let answer = String::from_utf8(output.stdout)?;
    Ok(answer.trim_end().to_owned())
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
