// ANCHOR: all
//! Loses a worker's last words, once without and once with an error.

use std::env;
use std::io::{self, Write};
use std::process::{Command, ExitStatus, Stdio};

use anyhow::{Context, Result, bail};

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => parent(),
        Some("careless") => careless(),
        Some("careful") => careful(),
        Some(role) => {
            bail!("unknown role {role:?}: expected \"careless\" or \"careful\"")
        }
    }
}

fn parent() -> Result<()> {
    // ANCHOR: proof
    let careless = without_reader("careless")?;
    let careful = without_reader("careful")?;
    assert!(careless.success());
    assert_eq!(careful.code(), Some(1));
    println!("careless: {careless}");
    println!("careful:  {careful}");
    // ANCHOR_END: proof
    Ok(())
}

// ANCHOR: roles
fn careless() -> Result<()> {
    print!("the answer is 42");
    Ok(())
}

fn careful() -> Result<()> {
    print!("the answer is 42");
    io::stdout().flush().context("cannot write the answer")
}
// ANCHOR_END: roles

/// Runs a worker whose standard output nobody can read.
fn without_reader(role: &str) -> Result<ExitStatus> {
    let (reader, writer) = io::pipe()?;
    drop(reader);
    Command::new(env::current_exe()?)
        .arg(role)
        .stdout(writer)
        .stderr(Stdio::null())
        .status()
        .context("cannot run the worker")
}
// ANCHOR_END: all
