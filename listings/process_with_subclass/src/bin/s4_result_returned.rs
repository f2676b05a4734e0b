// ANCHOR: all
//! Brings back to the parent what run() returns.

use std::env;
use std::io::{self, Write};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

trait Process: Serialize + DeserializeOwned {
    const NAME: &'static str;

    fn run(&mut self) -> String;

    fn start(&self) -> Result<Child> {
        let fields = serde_json::to_vec(self)?;
        let mut child = Command::new(env::current_exe()?)
            .arg(Self::NAME)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start a child")?;
        if let Err(error) = send(&mut child, &fields) {
            // Unread output could keep it from its end.
            drop(child.stdout.take());
            child.wait().context("cannot wait for the child")?;
            return Err(error);
        }
        Ok(child)
    }
}

fn send(child: &mut Child, fields: &[u8]) -> Result<()> {
    let mut input = child.stdin.take().context("the child has no input")?;
    input.write_all(fields).context("cannot send the fields")
}

#[derive(Serialize, Deserialize)]
struct CountWords {
    text: String,
}

impl Process for CountWords {
    const NAME: &'static str = "count_words";

    fn run(&mut self) -> String {
        self.text.split_whitespace().count().to_string()
    }
}

#[derive(Serialize, Deserialize)]
struct Sum {
    numbers: Vec<u32>,
}

impl Process for Sum {
    const NAME: &'static str = "sum";

    fn run(&mut self) -> String {
        self.numbers.iter().sum::<u32>().to_string()
    }
}

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => parent(),
        Some(CountWords::NAME) => child::<CountWords>(),
        Some(Sum::NAME) => child::<Sum>(),
        Some(role) => {
            bail!("unknown role {role:?}: expected \"count_words\" or \"sum\"")
        }
    }
}

fn parent() -> Result<()> {
    let text = "one process asks and another one answers".into();
    let numbers = vec![5, 8, 13];
    let (words, sum) = (CountWords { text }.start(), Sum { numbers }.start());
    let (words, sum) = (words.and_then(join), sum.and_then(join));
    println!("count_words: {}\nsum: {}", words?, sum?);
    Ok(())
}

// ANCHOR: result
fn child<P: Process>() -> Result<()> {
    let mut process: P = serde_json::from_reader(io::stdin())
        .with_context(|| format!("cannot read the fields of {}", P::NAME))?;
    let result = process.run();
    io::stdout().write_all(result.as_bytes())?;
    io::stdout().flush().context("cannot send the result")
}

fn join(child: Child) -> Result<String> {
    let output = child
        .wait_with_output()
        .context("cannot wait for the child")?;
    let status = output.status;
    ensure!(status.success(), "the child failed: {status}");
    String::from_utf8(output.stdout).context("the result is not text")
}
// ANCHOR_END: result
// ANCHOR_END: all
