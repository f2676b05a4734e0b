// ANCHOR: all
//! Proves that the end of a worker's output is not the end of the worker.

use std::env;
use std::fs::File;
use std::io::{self, Write};
use std::process::{self, Command, Stdio};

use anyhow::{Context, Result, bail};
use nix::unistd::dup2_stdout;

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => parent(),
        Some("worker") => worker(),
        Some(role) => bail!("unknown role {role:?}: expected \"worker\""),
    }
}

// ANCHOR: proof
fn worker() -> Result<()> {
    // The pipe to the parent was standard output; now this file is.
    dup2_stdout(File::create("/dev/null")?)?;
    let code = io::read_to_string(io::stdin())?;
    process::exit(code.parse().context("expected an exit code as input")?)
}

fn parent() -> Result<()> {
    let mut worker = Command::new(env::current_exe()?)
        .arg("worker")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start the worker")?;
    let output = worker.stdout.take().context("no pipe from the worker")?;
    assert_eq!(io::read_to_string(output)?, "");
    write!(worker.stdin.as_mut().context("no pipe to it")?, "7")?;
    let status = worker.wait()?;
    assert_eq!(status.code(), Some(7));
    println!("end of file");
    println!("then the worker ends: {status}");
    Ok(())
}
// ANCHOR_END: proof
// ANCHOR_END: all
