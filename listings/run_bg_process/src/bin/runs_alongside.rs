// ANCHOR: all
//! Proves that a spawned process and its parent run at the same time.

use std::env;
use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => parent(),
        Some("child") => child(),
        Some(role) => bail!("unknown role {role:?}: expected \"child\""),
    }
}

// ANCHOR: proof
fn parent() -> Result<()> {
    let mut child = start_child()?;
    let mut input = child.stdin.take().context("no pipe to the child")?;
    let output = child.stdout.take().context("no pipe from the child")?;
    let mut lines = BufReader::new(output).lines();

    assert_eq!(lines.next().transpose()?.as_deref(), Some("started"));
    assert!(child.try_wait()?.is_none());
    let sum: u32 = (1..=100).sum();
    writeln!(input, "{sum}")?;
    assert_eq!(lines.next().transpose()?.as_deref(), Some("got 5050"));
    assert!(child.wait()?.success());
    println!("main worked between the child's first line and its last");
    Ok(())
}
// ANCHOR_END: proof

fn start_child() -> Result<Child> {
    Command::new(env::current_exe()?)
        .arg("child")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start the child")
}

fn child() -> Result<()> {
    println!("started");
    let line = io::stdin().lines().next().transpose()?;
    ensure!(line.is_some(), "expected a number on standard input");
    println!("got {}", line.unwrap_or_default());
    Ok(())
}
// ANCHOR_END: all
