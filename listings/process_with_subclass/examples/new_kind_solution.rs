// ANCHOR: all
//! Exercise: a third kind of process.

use std::env;
use std::io::{self, Write};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

trait Process: Serialize + DeserializeOwned {
    const NAME: &'static str;

    fn run(&mut self) -> String;

    fn call(&self) -> Result<String> {
        let mut child = Command::new(env::current_exe()?)
            .arg(Self::NAME)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot start {}", Self::NAME))?;
        let mut input = child.stdin.take().context("the child has no input")?;
        // A child that ends without reading shows it in its status.
        let _ = input.write_all(&serde_json::to_vec(self)?);
        drop(input);
        let output = child.wait_with_output()?;
        let (name, status) = (Self::NAME, output.status);
        ensure!(
            status.success(),
            "not solved yet: {name} ended with {status}"
        );
        String::from_utf8(output.stdout).context("the result is not text")
    }
}

#[derive(Serialize, Deserialize)]
struct Shout {
    text: String,
}

impl Process for Shout {
    const NAME: &'static str = "shout";

    fn run(&mut self) -> String {
        self.text.to_uppercase()
    }
}

// ANCHOR: piece
#[derive(Serialize, Deserialize)]
struct Longest {
    words: Vec<String>,
}

impl Process for Longest {
    const NAME: &'static str = "longest";

    fn run(&mut self) -> String {
        let longest = self.words.iter().max_by_key(|word| word.len());
        longest.cloned().unwrap_or_default()
    }
}

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => check(),
        Some(Shout::NAME) => child::<Shout>(),
        Some(Longest::NAME) => child::<Longest>(),
        Some(role) => {
            bail!("unknown role {role:?}: expected \"shout\" or \"longest\"")
        }
    }
}
// ANCHOR_END: piece

fn check() -> Result<()> {
    let loud = Shout {
        text: "done".to_string(),
    }
    .call()?;
    ensure!(loud == "DONE", "not solved yet: shout answered {loud:?}");
    let words = ["fork", "exec", "waitpid"].map(String::from).to_vec();
    let longest = Longest { words }.call()?;
    ensure!(
        longest == "waitpid",
        "not solved yet: longest answered {longest:?}"
    );
    println!("solved: {loud}, {longest}");
    Ok(())
}

fn child<P: Process>() -> Result<()> {
    let mut process: P = serde_json::from_reader(io::stdin())
        .with_context(|| format!("cannot read the fields of {}", P::NAME))?;
    io::stdout().write_all(process.run().as_bytes())?;
    io::stdout().flush().context("cannot send the result")
}
// ANCHOR_END: all
