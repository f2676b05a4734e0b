// ANCHOR: all
//! Sends a word to a child and reads its answer from a second pipe.

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

fn parent() -> Result<()> {
    let mut child = Command::new(env::current_exe()?)
        .arg("child")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start the child")?;
    let outcome = talk(&mut child);
    let status = child.wait().context("cannot wait for the child")?;
    outcome.with_context(|| format!("child: {status}"))?;
    ensure!(status.success(), "the child failed: {status}");
    Ok(())
}

// ANCHOR: answer
fn talk(child: &mut Child) -> Result<()> {
    let mut words = child.stdin.as_ref().context("no pipe to the child")?;
    let answers = child.stdout.as_mut().context("no pipe from the child")?;
    writeln!(words, "fork").context("cannot send the word")?;
    let answer = receive(&mut BufReader::new(answers))?;
    println!("sent \"fork\", received {answer:?}");
    Ok(())
}

fn child() -> Result<()> {
    let word = receive(&mut io::stdin().lock())?;
    println!("{}", word.to_uppercase());
    Ok(())
}

fn receive(pipe: &mut impl BufRead) -> Result<String> {
    let mut line = String::new();
    pipe.read_line(&mut line).context("cannot receive a line")?;
    ensure!(line.ends_with('\n'), "expected a line, received {line:?}");
    line.pop();
    Ok(line)
}
// ANCHOR_END: answer
// ANCHOR_END: all
