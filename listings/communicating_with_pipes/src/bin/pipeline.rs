// ANCHOR: all
//! Connects three processes in a row: numbers, their squares, and the sum.

use std::env;
use std::io::{self, BufWriter, Read, Write};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => parent(),
        Some("count") => count(),
        Some("square") => square(),
        Some("sum") => sum(),
        Some(role) => bail!(
            "unknown role {role:?}: expected \"count\", \"square\" or \"sum\""
        ),
    }
}

// ANCHOR: parent
fn parent() -> Result<()> {
    let (numbers_reader, numbers) = os_pipe::pipe()?;
    let (squares_reader, squares) = os_pipe::pipe()?;
    let (mut result, result_writer) = os_pipe::pipe()?;

    let children = [
        ("count", start("count", Stdio::null(), numbers)?),
        ("square", start("square", numbers_reader, squares)?),
        ("sum", start("sum", squares_reader, result_writer)?),
    ];

    let mut sum = String::new();
    result.read_to_string(&mut sum)?;
    print!("sum of the squares of 1 to 100,000: {sum}");
    let mut failed = false;
    for (role, mut child) in children {
        let status = child.wait()?;
        println!("{role}: {status}");
        failed |= !status.success();
    }
    ensure!(!failed, "a stage failed, so the sum is not to be trusted");
    Ok(())
}
// ANCHOR_END: parent

// ANCHOR: start
fn start(
    role: &str,
    input: impl Into<Stdio>,
    output: impl Into<Stdio>,
) -> Result<Child> {
    Command::new(env::current_exe()?)
        .arg(role)
        .stdin(input)
        .stdout(output)
        .spawn()
        .with_context(|| format!("cannot start {role}"))
}
// ANCHOR_END: start

// ANCHOR: stages
fn count() -> Result<()> {
    let mut output = BufWriter::new(io::stdout().lock());
    for number in 1..=100_000_u64 {
        writeln!(output, "{number}")?;
    }
    output.flush().context("cannot write the numbers")
}

fn square() -> Result<()> {
    let mut output = BufWriter::new(io::stdout().lock());
    for line in io::stdin().lines() {
        let number: u64 = line?.parse().context("expected a number")?;
        writeln!(output, "{}", number * number)?;
    }
    output.flush().context("cannot write the squares")
}

fn sum() -> Result<()> {
    let mut sum = 0;
    for line in io::stdin().lines() {
        sum += line?.parse::<u64>().context("expected a number")?;
    }
    writeln!(io::stdout(), "{sum}").context("cannot write the sum")
}
// ANCHOR_END: stages
// ANCHOR_END: all
