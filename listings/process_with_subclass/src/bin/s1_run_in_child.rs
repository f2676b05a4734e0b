// ANCHOR: all
//! Starts a process whose type has a run() of its own.

use std::env;
use std::process::{Child, Command};

use anyhow::{Context, Result, bail, ensure};

// ANCHOR: whole
trait Process {
    fn run(&self) -> Result<()>;

    fn start(&self) -> Result<Child> {
        let mut program = Command::new(env::current_exe()?);
        program.arg("child").spawn().context("cannot start a child")
    }
}

struct CountWords;

impl Process for CountWords {
    fn run(&self) -> Result<()> {
        let text = "one process asks and another one answers";
        println!("count_words: {}", text.split_whitespace().count());
        Ok(())
    }
}

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => {
            let status = CountWords.start()?.wait()?;
            ensure!(status.success(), "the child failed: {status}");
            Ok(())
        }
        Some("child") => CountWords.run(),
        Some(role) => bail!("unknown role {role:?}: expected \"child\""),
    }
}
// ANCHOR_END: whole
// ANCHOR_END: all
