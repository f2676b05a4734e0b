// ANCHOR: all
//! Sends the fields of a process to the child, as JSON over a pipe.

use std::env;
use std::io::{self, Write};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

trait Process: Serialize + DeserializeOwned {
    const NAME: &'static str;

    fn run(&mut self) -> Result<()>;

    // ANCHOR: start
    fn start(&self) -> Result<Child> {
        let fields = serde_json::to_vec(self)?;
        let mut child = Command::new(env::current_exe()?)
            .arg(Self::NAME)
            .stdin(Stdio::piped())
            .spawn()
            .context("cannot start a child")?;
        if let Err(error) = send(&mut child, &fields) {
            child.wait().context("cannot wait for the child")?;
            return Err(error);
        }
        Ok(child)
    }
    // ANCHOR_END: start
}

// ANCHOR: send
fn send(child: &mut Child, fields: &[u8]) -> Result<()> {
    let mut input = child.stdin.take().context("the child has no input")?;
    input.write_all(fields).context("cannot send the fields")
}
// ANCHOR_END: send

// ANCHOR: kind
#[derive(Serialize, Deserialize)]
struct CountWords {
    text: String,
}
// ANCHOR_END: kind

impl Process for CountWords {
    const NAME: &'static str = "count_words";

    fn run(&mut self) -> Result<()> {
        println!("count_words: {}", self.text.split_whitespace().count());
        Ok(())
    }
}

#[derive(Serialize, Deserialize)]
struct Sum {
    numbers: Vec<u32>,
}

impl Process for Sum {
    const NAME: &'static str = "sum";

    fn run(&mut self) -> Result<()> {
        println!("sum: {}", self.numbers.iter().sum::<u32>());
        Ok(())
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
    words.and(sum)
}

// ANCHOR: child
fn child<P: Process>() -> Result<()> {
    let mut process: P = serde_json::from_reader(io::stdin())
        .with_context(|| format!("cannot read the fields of {}", P::NAME))?;
    process.run()
}
// ANCHOR_END: child

fn join(mut child: Child) -> Result<()> {
    let status = child.wait().context("cannot wait for the child")?;
    ensure!(status.success(), "the child failed: {status}");
    Ok(())
}
// ANCHOR_END: all
