// ANCHOR: all
//! Proves that what run() changes in its fields stays in the child.

use std::env;
use std::io::{self, Write};
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Counter {
    items: Vec<u32>,
    seen: usize,
}

impl Counter {
    fn run(&mut self) -> usize {
        self.seen += self.items.len();
        self.seen
    }

    /// Sends the fields to a child, and returns what comes back.
    fn call(&self) -> Result<Output> {
        let fields = serde_json::to_vec(self)?;
        let mut child = Command::new(env::current_exe()?)
            .arg("counter")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start the counter")?;
        let mut input = child.stdin.take().context("no standard input")?;
        let sent = input.write_all(&fields);
        drop(input);
        let output = child.wait_with_output().context("cannot wait")?;
        let status = output.status;
        ensure!(status.success(), "the counter has failed: {status}");
        sent.context("cannot send the fields")?;
        Ok(output)
    }
}

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => parent(),
        Some("counter") => child(),
        Some(role) => bail!("unknown role {role:?}: expected \"counter\""),
    }
}

// ANCHOR: proof
fn parent() -> Result<()> {
    let counter = Counter {
        items: vec![1, 1, 2, 3, 5, 8, 13, 21],
        seen: 0,
    };
    let output = counter.call()?;
    let returned: usize = serde_json::from_slice(&output.stdout)?;

    assert_eq!(returned, 8);
    assert_eq!(counter.seen, 0);
    println!("returned: {returned}, seen in the parent: {}", counter.seen);
    Ok(())
}
// ANCHOR_END: proof

fn child() -> Result<()> {
    let mut counter: Counter = serde_json::from_reader(io::stdin())
        .context("cannot read the fields of the counter")?;
    io::stdout().write_all(&serde_json::to_vec(&counter.run())?)?;
    io::stdout().flush().context("cannot send the result")
}
// ANCHOR_END: all
