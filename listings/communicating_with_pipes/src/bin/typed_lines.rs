// ANCHOR: all
//! Sends typed tasks to a child and reads typed answers, as lines of JSON.

use std::env;
use std::io::{self, BufRead, BufReader, LineWriter, Write};
use std::process::{Command, Stdio};

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
    match env::args().nth(1).as_deref() {
        None => parent(),
        Some("child") => child(),
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
    let input = child.stdin.take().context("the child has no input")?;
    let output = child.stdout.take().context("the child has no output")?;

    let mut tasks = LineWriter::new(input);
    let mut answers = BufReader::new(output).lines();
    let name = "Ada\nLovelace".to_string();
    for task in [Task::Greet { name }, Task::Add(vec![1, -2, 43])] {
        let line = serde_json::to_string(&task)?;
        writeln!(tasks, "{line}").context("cannot send a task")?;
        let answer = answers.next().context("the child gave no answer")??;
        let answer: Answer = serde_json::from_str(&answer)?;
        println!("{line} -> {answer:?}");
    }

    writeln!(tasks, r#"{{"Multiply":[6,7]}}"#)?;
    ensure!(answers.next().is_none(), "expected no answer");
    println!("child: {}", child.wait()?);
    Ok(())
}
// ANCHOR_END: parent

// ANCHOR: child
fn child() -> Result<()> {
    let mut answers = io::stdout().lock();
    for line in io::stdin().lines() {
        let task = serde_json::from_str(&line?).context("not a task")?;
        let answer = match task {
            Task::Greet { name } => Answer::Text(format!("Hello, {name}!")),
            Task::Add(numbers) => Answer::Number(numbers.iter().sum()),
        };
        writeln!(answers, "{}", serde_json::to_string(&answer)?)?;
    }
    Ok(())
}
// ANCHOR_END: child
// ANCHOR_END: all
