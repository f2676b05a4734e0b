// ANCHOR: all
//! Exercise: a result channel that a println! cannot spoil.

use std::env;
use std::io::{self, Write};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => check(),
        Some("child") => child(),
        Some(role) => bail!("unknown role {role:?}: expected \"child\""),
    }
}

fn run(numbers: &[u32]) -> u32 {
    println!("adding {} numbers", numbers.len());
    numbers.iter().sum()
}

// ANCHOR: piece
fn call(numbers: &[u32]) -> Result<(u32, String)> {
    let mut child = Command::new(env::current_exe()?)
        .arg("child")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start the child")?;
    let mut input = child.stdin.take().context("the child has no input")?;
    input.write_all(&serde_json::to_vec(numbers)?)?;
    drop(input);
    let output = child.wait_with_output()?;
    let sum = serde_json::from_slice(&output.stdout);
    let printed = String::new();
    Ok((sum.context("not solved yet: no result")?, printed))
}

fn child() -> Result<()> {
    let numbers: Vec<u32> = serde_json::from_reader(io::stdin())
        .context("cannot read the numbers")?;
    let result = serde_json::to_vec(&run(&numbers))?;
    io::stdout().write_all(&result)?;
    io::stdout().flush().context("cannot send the result")
}
// ANCHOR_END: piece

fn check() -> Result<()> {
    let (sum, printed) = call(&[3, 4, 5])?;
    ensure!(sum == 12, "not solved yet: the sum is {sum}");
    ensure!(
        printed == "adding 3 numbers\n",
        "not solved yet: run() printed {printed:?}"
    );
    println!("solved: the sum is {sum}, and run() printed {printed:?}");
    Ok(())
}
// ANCHOR_END: all
