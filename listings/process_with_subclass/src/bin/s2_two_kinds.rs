// ANCHOR: all
//! Starts two kinds of process, which find their code by a name.

use std::env;
use std::process::{Child, Command};

use anyhow::{Context, Result, bail, ensure};

trait Process {
    const NAME: &'static str;

    fn run(&self) -> Result<()>;

    fn start(&self) -> Result<Child> {
        let mut program = Command::new(env::current_exe()?);
        program
            .arg(Self::NAME)
            .spawn()
            .context("cannot start a child")
    }
}

struct CountWords;

impl Process for CountWords {
    const NAME: &'static str = "count_words";

    fn run(&self) -> Result<()> {
        let text = "one process asks and another one answers";
        println!("count_words: {}", text.split_whitespace().count());
        Ok(())
    }
}

struct Sum;

impl Process for Sum {
    const NAME: &'static str = "sum";

    fn run(&self) -> Result<()> {
        println!("sum: {}", [5, 8, 13].iter().sum::<u32>());
        Ok(())
    }
}

// ANCHOR: registry
fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => parent(),
        Some(CountWords::NAME) => CountWords.run(),
        Some(Sum::NAME) => Sum.run(),
        Some(role) => {
            bail!("unknown role {role:?}: expected \"count_words\" or \"sum\"")
        }
    }
}

fn parent() -> Result<()> {
    let (words, sum) = (CountWords.start(), Sum.start());
    let (words, sum) = (words.and_then(join), sum.and_then(join));
    words.and(sum)
}
// ANCHOR_END: registry

fn join(mut child: Child) -> Result<()> {
    let status = child.wait().context("cannot wait for the child")?;
    ensure!(status.success(), "the child failed: {status}");
    Ok(())
}
// ANCHOR_END: all
