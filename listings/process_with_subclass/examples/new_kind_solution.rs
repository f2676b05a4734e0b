// ANCHOR: all
//! Exercise: a third kind of process.

use std::io::{self, Write};
use std::process::{self, Command, Stdio};
use std::time::Duration;
use std::{env, thread};

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

const LIMIT: Duration = Duration::from_secs(10);

trait Process: Serialize + DeserializeOwned {
    const NAME: &'static str;

    fn run(&mut self) -> String;
}

fn call<P: Process>(process: &P) -> Result<String> {
    let name = P::NAME;
    let fields = serde_json::to_vec(process)?;
    let mut child = Command::new(env::current_exe()?)
        .arg(name)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {name}"))?;
    let mut input = child.stdin.take().context("the child has no input")?;
    // A child that ends without reading shows it in its status.
    let _ = input.write_all(&fields);
    drop(input);
    let output = child.wait_with_output().context("cannot wait for it")?;
    let status = output.status;
    ensure!(
        status.success(),
        "not solved yet: {name} ended with {status}"
    );
    String::from_utf8(output.stdout).context("the result is not text")
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
    limit_time()?;
    let text = "done".to_string();
    let loud = call(&Shout { text })?;
    ensure!(loud == "DONE", "not solved yet: shout answered {loud:?}");
    // The longest is the first, the last, and in the middle.
    for (words, expected) in [
        (["descriptor", "fork", "zombie"], "descriptor"),
        (["fork", "exec", "waitpid"], "waitpid"),
        (["signal", "a pipeline", "mask"], "a pipeline"),
    ] {
        let words = words.map(String::from).to_vec();
        let longest = call(&Longest { words })?;
        ensure!(
            longest == expected,
            "not solved yet: longest answered {longest:?}, not {expected:?}"
        );
        println!("longest: {longest}");
    }
    println!("solved: {loud}, and three times the longest word");
    Ok(())
}

/// Says so if an answer hangs, and ends.
fn limit_time() -> Result<()> {
    let limit = || {
        thread::sleep(LIMIT);
        let hangs = "Error: not solved yet: it hangs, for 10 seconds now";
        let _ = writeln!(io::stderr(), "{hangs}");
        process::exit(1);
    };
    thread::Builder::new().spawn(limit)?;
    Ok(())
}

fn child<P: Process>() -> Result<()> {
    let mut process: P = serde_json::from_reader(io::stdin())
        .with_context(|| format!("cannot read the fields of {}", P::NAME))?;
    io::stdout().write_all(process.run().as_bytes())?;
    io::stdout().flush().context("cannot send the result")
}
// ANCHOR_END: all
