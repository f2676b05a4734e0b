// ANCHOR: all
//! Sends two lines to a child through a pipe, then lets the pipe end.

use std::env;
use std::io::{self, Write};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => parent(),
        Some("child") => child(),
        Some(role) => bail!("unknown role {role:?}: expected \"child\""),
    }
}

// ANCHOR: pipe
fn parent() -> Result<()> {
    let mut child = Command::new(env::current_exe()?)
        .arg("child")
        .stdin(Stdio::piped())
        .spawn()
        .context("cannot start the child")?;
    let mut pipe = child.stdin.take().context("no pipe to the child")?;
    // No `?` yet: the child is waited for in any case.
    let written = pipe.write_all(b"one\ntwo\n");
    drop(pipe);
    let status = child.wait().context("cannot wait for the child")?;
    written.context("cannot write to the child")?;
    ensure!(status.success(), "the child failed: {status}");
    Ok(())
}

fn child() -> Result<()> {
    for line in io::stdin().lines() {
        println!("child: {}", line.context("cannot read")?);
    }
    println!("child: end of file");
    Ok(())
}
// ANCHOR_END: pipe
// ANCHOR_END: all
