// ANCHOR: all
//! Connects three processes in a row: numbers, their squares, and the sum.

use std::env;
use std::io::{self, BufWriter, Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};

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

    // A stage that has no neighbor ends, so all can be waited for.
    let stages = [
        ("count", start("count", Stdio::null(), numbers)),
        ("square", start("square", numbers_reader, squares)),
        ("sum", start("sum", squares_reader, result_writer)),
    ];
    let mut sum = String::new();
    let read = result.read_to_string(&mut sum);
    drop(result);
    let ends = stages.map(|(role, stage)| (role, stage.and_then(wait)));

    print!("sum of the squares of 1 to 100,000: {sum}");
    let mut failed = false;
    for (role, end) in ends {
        let status = end.context(role)?;
        println!("{role}: {status}");
        failed |= !status.success();
    }
    read.context("cannot read the sum")?;
    ensure!(!failed, "a stage failed, so the sum is not to be trusted");
    Ok(())
}

fn wait(mut child: Child) -> Result<ExitStatus> {
    child.wait().context("cannot wait for it")
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
        .context("cannot start it")
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
