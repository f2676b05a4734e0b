// ANCHOR: all
//! Starts a list of different kinds of process, all through one role.

use std::env;
use std::io::{self, Write};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

// ANCHOR: kinds
#[derive(Serialize, Deserialize)]
enum Work {
    CountWords { text: String },
    Sum { numbers: Vec<u32> },
}

#[derive(Debug, Serialize, Deserialize)]
enum Answer {
    Words(usize),
    Total(u32),
}

impl Work {
    fn run(self) -> Answer {
        match self {
            Work::CountWords { text } => {
                Answer::Words(text.split_whitespace().count())
            }
            Work::Sum { numbers } => Answer::Total(numbers.iter().sum()),
        }
    }
}
// ANCHOR_END: kinds

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => parent(),
        Some("worker") => worker(),
        Some(role) => bail!("unknown role {role:?}: expected \"worker\""),
    }
}

// ANCHOR: parent
fn parent() -> Result<()> {
    let list = [
        Work::CountWords {
            text: "to be or not to be".into(),
        },
        Work::Sum {
            numbers: vec![1, 2, 3],
        },
        Work::CountWords {
            text: "that is the question".into(),
        },
    ];
    // Collecting starts them all before the first is joined, and joins them
    // all before the first error counts.
    let started: Vec<Result<Child>> = list.iter().map(start).collect();
    let joined: Vec<Result<Answer>> =
        started.into_iter().map(|it| it.and_then(join)).collect();
    for answer in joined {
        println!("{:?}", answer?);
    }
    Ok(())
}
// ANCHOR_END: parent

fn start(work: &Work) -> Result<Child> {
    let work = serde_json::to_vec(work)?;
    let mut child = Command::new(env::current_exe()?)
        .arg("worker")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start a worker")?;
    if let Err(error) = send(&mut child, &work) {
        // Unread output could keep it from its end, which may say why.
        drop(child.stdout.take());
        let end = match child.wait() {
            Ok(status) => format!("has failed: {status}"),
            Err(why) => format!("cannot be waited for: {why}"),
        };
        return Err(error.context(format!("a worker {end}")));
    }
    Ok(child)
}

fn send(child: &mut Child, work: &[u8]) -> Result<()> {
    let mut input = child.stdin.take().context("the worker has no input")?;
    input.write_all(work).context("cannot send the work")
}

fn join(child: Child) -> Result<Answer> {
    let output = child
        .wait_with_output()
        .context("cannot wait for a worker")?;
    let status = output.status;
    ensure!(status.success(), "the worker failed: {status}");
    serde_json::from_slice(&output.stdout).context("cannot read the answer")
}

fn worker() -> Result<()> {
    let work: Work =
        serde_json::from_reader(io::stdin()).context("cannot read the work")?;
    io::stdout().write_all(&serde_json::to_vec(&work.run())?)?;
    io::stdout().flush().context("cannot send the answer")
}
// ANCHOR_END: all
