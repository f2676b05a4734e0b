// ANCHOR: all
//! Shares one pipe of records of a fixed size among all processes.

use std::env;
use std::io::{self, Read, Write};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

const RECORD: usize = 16;

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => parent(),
        Some("producer") => producer(),
        Some("consumer") => consumer(),
        Some(role) => bail!(
            "unknown role {role:?}: expected \"producer\" or \"consumer\""
        ),
    }
}

// ANCHOR: parent
fn parent() -> Result<()> {
    let (reader, writer) = os_pipe::pipe()?;
    let (mut results, results_writer) = os_pipe::pipe()?;
    let mut children = Vec::new();
    for _ in 0..3 {
        let ends = (reader.try_clone()?, results_writer.try_clone()?);
        children.push(start(&["consumer"], ends.0, ends.1)?);
    }
    for name in ["a", "b"] {
        let output = writer.try_clone()?;
        children.push(start(&["producer", name], Stdio::null(), output)?);
    }
    drop((reader, writer, results_writer));

    let mut answers = String::new();
    results.read_to_string(&mut answers)?;
    for mut child in children {
        ensure!(child.wait()?.success(), "a child failed");
    }
    let mut answers: Vec<_> = answers.lines().collect();
    answers.sort();
    println!("answers: {}", answers.join(" "));
    Ok(())
}
// ANCHOR_END: parent

// ANCHOR: roles
fn producer() -> Result<()> {
    let name = env::args().nth(2).context("a producer needs a name")?;
    let mut queue = os_pipe::dup_stdout()?;
    for number in 1..=5 {
        let mut record = [b' '; RECORD];
        let message = format!("{name}{number}");
        record
            .get_mut(..message.len())
            .context("the message is longer than a record")?
            .copy_from_slice(message.as_bytes());
        // One write for one record, or records of two producers could mix.
        let written = queue.write(&record).context("cannot send")?;
        ensure!(written == RECORD, "expected to write {RECORD} bytes");
    }
    Ok(())
}

fn consumer() -> Result<()> {
    let mut queue = os_pipe::dup_stdin()?;
    let mut record = [0; RECORD];
    loop {
        match queue.read(&mut record).context("cannot receive")? {
            0 => return Ok(()),
            RECORD => {}
            bytes => bail!("expected a record of {RECORD} bytes, not {bytes}"),
        }
        let message = std::str::from_utf8(&record)?.trim_end();
        writeln!(io::stdout(), "{}", message.to_uppercase())?;
    }
}
// ANCHOR_END: roles

fn start(
    arguments: &[&str],
    input: impl Into<Stdio>,
    output: impl Into<Stdio>,
) -> Result<Child> {
    Command::new(env::current_exe()?)
        .args(arguments)
        .stdin(input)
        .stdout(output)
        .spawn()
        .with_context(|| format!("cannot start a {}", arguments[0]))
}
// ANCHOR_END: all
