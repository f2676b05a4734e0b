// ANCHOR: all
//! Sends a child three words, and closes the pipe to say that these were all.

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

// ANCHOR: end
fn talk(child: &mut Child) -> Result<()> {
    let mut words = child.stdin.take().context("no pipe to the child")?;
    let answers = child.stdout.take().context("no pipe from the child")?;
    let mut answers = BufReader::new(answers);
    for word in ["fork", "exec", "wait"] {
        writeln!(words, "{word}").context("cannot send a word")?;
        println!("sent {word:?}, received {:?}", receive(&mut answers)?);
    }
    drop(words);
    println!("closed the pipe, received {:?}", receive(&mut answers)?);
    Ok(())
}

fn child() -> Result<()> {
    let mut count = 0;
    for word in io::stdin().lines() {
        let word = word.context("cannot read a word")?;
        println!("{}", word.to_uppercase());
        io::stdout().flush().context("cannot send an answer")?;
        count += 1;
    }
    println!("{count} words");
    Ok(())
}
// ANCHOR_END: end

fn receive(pipe: &mut impl BufRead) -> Result<String> {
    let mut line = String::new();
    pipe.read_line(&mut line).context("cannot receive a line")?;
    ensure!(line.ends_with('\n'), "expected a line, received {line:?}");
    line.pop();
    Ok(line)
}
// ANCHOR_END: all
