// ANCHOR: all
//! Sends typed tasks to a child and reads typed answers, as lines of JSON.

use std::env;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

// ANCHOR: types
#[derive(Debug, Deserialize, Serialize)]
enum Task {
    Greet { name: String },
    Add(Vec<i64>),
}

#[derive(Debug, Deserialize, Serialize)]
enum Answer {
    Text(String),
    Number(i64),
}
// ANCHOR_END: types

fn main() -> Result<()> {
    match env::args_os().nth(1) {
        None => parent(),
        Some(role) if role == "child" => child(),
        Some(role) => bail!("unknown role {role:?}: expected \"child\""),
    }
}

// ANCHOR: parent
fn parent() -> Result<()> {
    let mut child = Command::new(env::current_exe()?)
        .arg("child")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start the child")?;

    let outcome = exchange(&mut child);
    match child.wait() {
        Ok(status) => {
            outcome.with_context(|| format!("child: {status}"))?;
            writeln!(io::stdout(), "child: {status}")?;
            Ok(())
        }
        Err(error) => {
            outcome.and(Err(error).context("cannot wait for the child"))
        }
    }
}

fn exchange(child: &mut Child) -> Result<()> {
    let mut tasks = child.stdin.take().context("the child has no input")?;
    let output = child.stdout.take().context("the child has no output")?;
    let mut answers = BufReader::new(output);
    let name = "Ada\nLovelace".to_string();
    for task in [Task::Greet { name }, Task::Add(vec![1, -2, 43])] {
        let line = serde_json::to_string(&task)?;
        send(&mut tasks, &line)?;
        let answer = receive(&mut answers)?.context("no answer")?;
        let answer: Answer =
            serde_json::from_slice(&answer).context("not an answer")?;
        writeln!(io::stdout(), "{line} -> {answer:?}")
            .context("cannot print")?;
    }

    send(&mut tasks, r#"{"Multiply":[6,7]}"#)?;
    ensure!(receive(&mut answers)?.is_none(), "expected no answer");
    Ok(())
}
// ANCHOR_END: parent

// ANCHOR: lines
const MAX_LINE: usize = 1024 * 1024;

/// Sends a line, with its newline in the same write.
fn send(pipe: &mut impl Write, message: &str) -> Result<()> {
    let length = message.len() + 1;
    ensure!(
        length <= MAX_LINE,
        "a line of {length} bytes is over the limit of {MAX_LINE}"
    );
    let line = format!("{message}\n");
    pipe.write_all(line.as_bytes()).context("cannot send")?;
    pipe.flush().context("cannot send")
}

/// Receives a line, or `None` if the pipe ends where a line would begin.
fn receive(pipe: &mut impl BufRead) -> Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    let mut limited = pipe.take(MAX_LINE as u64);
    let read = limited.read_until(b'\n', &mut line);
    read.context("cannot receive")?;
    match line.pop() {
        None => Ok(None),
        Some(b'\n') => Ok(Some(line)),
        Some(_) if limited.limit() == 0 => {
            bail!("a line is longer than the limit of {MAX_LINE} bytes")
        }
        Some(_) => bail!("the pipe ended inside a line"),
    }
}
// ANCHOR_END: lines

// ANCHOR: child
fn child() -> Result<()> {
    let mut tasks = io::stdin().lock();
    let mut answers = io::stdout().lock();
    while let Some(line) = receive(&mut tasks)? {
        let task = serde_json::from_slice(&line).context("not a task")?;
        let answer = match task {
            Task::Greet { name } => Answer::Text(format!("Hello, {name}!")),
            Task::Add(numbers) => Answer::Number(numbers.iter().sum()),
        };
        send(&mut answers, &serde_json::to_string(&answer)?)?;
    }
    Ok(())
}
// ANCHOR_END: child
// ANCHOR_END: all
