// ANCHOR: all
//! Proves that a println! in run() spoils a result sent on standard output.

use std::env;
use std::io::{self, Write};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => parent(),
        Some("print") => child(|| println!("working ...")),
        Some("eprint") => child(|| eprintln!("working ...")),
        Some(role) => {
            bail!("unknown role {role:?}: expected \"print\" or \"eprint\"")
        }
    }
}

// ANCHOR: proof
fn child(report: fn()) -> Result<()> {
    report();
    io::stdout().write_all(&serde_json::to_vec(&42)?)?;
    io::stdout().flush().context("cannot send the result")
}

fn parent() -> Result<()> {
    let print = result_of("print")?;
    let eprint = result_of("eprint")?;

    assert_eq!(print, b"working ...\n42");
    assert!(serde_json::from_slice::<u32>(&print).is_err());
    assert_eq!(serde_json::from_slice::<u32>(&eprint)?, 42);
    println!("println! spoils the result, eprintln! does not");
    Ok(())
}
// ANCHOR_END: proof

fn result_of(role: &str) -> Result<Vec<u8>> {
    let output = Command::new(env::current_exe()?)
        .arg(role)
        .stderr(Stdio::null())
        .output()
        .with_context(|| format!("cannot run the role {role}"))?;
    Ok(output.stdout)
}
// ANCHOR_END: all
