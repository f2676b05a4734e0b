// ANCHOR: all
//! Reads a child's output and errors from one pipe, made by os_pipe and by std.

use std::io::Read;
use std::process::{Command, Stdio};
use std::{env, io};

use anyhow::{Context, Result, bail, ensure};

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => parent(),
        Some("child") => child(),
        Some(role) => bail!("unknown role {role:?}: expected \"child\""),
    }
}

// ANCHOR: parent
fn parent() -> Result<()> {
    let (reader, writer) = os_pipe::pipe()?;
    print!("os_pipe:\n{}", merged(reader, writer.try_clone()?, writer)?);

    let (reader, writer) = io::pipe()?;
    print!("std:\n{}", merged(reader, writer.try_clone()?, writer)?);
    Ok(())
}

fn merged(
    mut reader: impl Read,
    output: impl Into<Stdio>,
    errors: impl Into<Stdio>,
) -> Result<String> {
    let mut child = Command::new(env::current_exe()?)
        .arg("child")
        .stdout(output)
        .stderr(errors)
        .spawn()
        .context("cannot start the child")?;
    let mut text = String::new();
    let read = reader.read_to_string(&mut text);
    drop(reader);
    let status = child.wait().context("cannot wait for the child")?;
    ensure!(status.success(), "the child failed: {status}");
    read.context("cannot read what it said")?;
    Ok(text)
}
// ANCHOR_END: parent

fn child() -> Result<()> {
    println!("  a result");
    eprintln!("  a warning");
    println!("  another result");
    Ok(())
}
// ANCHOR_END: all
