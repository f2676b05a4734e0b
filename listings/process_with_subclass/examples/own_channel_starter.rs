// ANCHOR: all
//! Exercise: a result channel that a println! cannot spoil.

use std::io::{self, Write};
use std::process::{self, Command, Stdio};
use std::time::Duration;
use std::{env, thread};

use anyhow::{Context, Result, bail, ensure};

const LIMIT: Duration = Duration::from_secs(10);

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => check(),
        Some("child") => child(),
        Some(role) => bail!("unknown role {role:?}: expected \"child\""),
    }
}

fn run(numbers: &[u32]) -> u32 {
    assert!(!numbers.is_empty(), "there is nothing to add");
    for number in numbers {
        println!("adding {number}");
    }
    numbers.iter().sum()
}

// ANCHOR: piece
fn call(numbers: &[u32]) -> Result<(u32, String)> {
    let fields = serde_json::to_vec(numbers)?;
    let mut child = Command::new(env::current_exe()?)
        .arg("child")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start the child")?;
    let mut input = child.stdin.take().context("the child has no input")?;
    let sent = input.write_all(&fields);
    drop(input);
    let output = child.wait_with_output().context("cannot wait for it")?;
    let status = output.status;
    ensure!(status.success(), "the child failed: {status}");
    sent.context("cannot send the numbers")?;
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
    limit_time()?;
    // The second prints more than a pipe holds.
    for most in [3, 20_000] {
        let numbers: Vec<u32> = (1..=most).collect();
        let (sum, printed) = call(&numbers)?;
        let expected: u32 = numbers.iter().sum();
        ensure!(
            sum == expected,
            "not solved yet: the sum is {sum}, not {expected}"
        );
        let lines: String =
            numbers.iter().map(|it| format!("adding {it}\n")).collect();
        ensure!(
            printed == lines,
            "not solved yet: {} of {} bytes of what run() printed",
            printed.len(),
            lines.len()
        );
        println!("the sum is {sum}, and {} bytes were printed", printed.len());
    }
    let error = call(&[]).err().context("not solved yet: no error")?;
    ensure!(
        format!("{error:#}").contains("exit status: 101"),
        "not solved yet: run() has panicked, and the error is: {error:#}"
    );
    println!("solved: each has its own way, and a panic is an error");
    Ok(())
}

/// Says so if an answer hangs, and ends.
fn limit_time() -> Result<()> {
    let limit = || {
        thread::sleep(LIMIT);
        let hangs = "Error: not solved yet: it hangs, for 10 seconds now";
        let _ = writeln!(io::stderr(), "{hangs}");
        process::exit(1);
    };
    thread::Builder::new().spawn(limit)?;
    Ok(())
}
// ANCHOR_END: all
