// ANCHOR: all
//! Proves that a consumer that does nothing keeps no more than its credits.

use std::collections::VecDeque;
use std::env;
use std::io::{self, BufRead, BufReader, Lines, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

const CREDITS: usize = 4;

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => broker(),
        Some("quick") => quick(),
        Some("idle") => idle(),
        Some(role) => {
            bail!("unknown role {role:?}: expected \"quick\" or \"idle\"")
        }
    }
}

// ANCHOR: proof
fn broker() -> Result<()> {
    let mut messages: VecDeque<u32> = (0..100).collect();
    let (idle, mut idle_input, idle_answers) = start("idle")?;
    let (quick, mut quick_input, mut quick_answers) = start("quick")?;
    for message in messages.drain(..CREDITS) {
        writeln!(idle_input, "{message}")?;
    }
    for message in messages.drain(..CREDITS) {
        writeln!(quick_input, "{message}")?;
    }
    let mut answered = 0;
    // Each answer pays for one more message.
    while let Some(message) = messages.pop_front() {
        quick_answers.next().context("no answer")??;
        answered += 1;
        writeln!(quick_input, "{message}")?;
    }
    drop((quick_input, idle_input));
    answered += quick_answers.count();
    let kept = idle_answers.count();
    assert_eq!((answered, kept), (100 - CREDITS, CREDITS));
    println!("quick: {answered} messages, idle: {kept}");
    // ANCHOR_END: proof
    for mut child in [quick, idle] {
        ensure!(child.wait()?.success(), "a consumer failed");
    }
    Ok(())
}

type Answers = Lines<BufReader<ChildStdout>>;

fn start(role: &str) -> Result<(Child, ChildStdin, Answers)> {
    let mut child = Command::new(env::current_exe()?)
        .arg(role)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start the {role} consumer"))?;
    let input = child.stdin.take().context("the consumer has no input")?;
    let output = child.stdout.take().context("the consumer has no output")?;
    Ok((child, input, BufReader::new(output).lines()))
}

fn quick() -> Result<()> {
    for message in io::stdin().lines() {
        writeln!(io::stdout(), "{}", message?).context("cannot answer")?;
    }
    Ok(())
}

/// Answers nothing before all the messages are there.
fn idle() -> Result<()> {
    let messages = io::read_to_string(io::stdin())?;
    io::stdout()
        .write_all(messages.as_bytes())
        .context("cannot answer")
}
// ANCHOR_END: all
