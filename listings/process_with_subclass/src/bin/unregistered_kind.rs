// ANCHOR: all
//! Proves that a kind missing from the registry fails and says so.

use std::env;
use std::process::Command;

use anyhow::{Context, Result, bail};

trait Process {
    const NAME: &'static str;
    fn run(&self);
}

struct Known;
impl Process for Known {
    const NAME: &'static str = "known";
    fn run(&self) {}
}

struct Forgotten;
impl Process for Forgotten {
    const NAME: &'static str = "forgotten";
    fn run(&self) {}
}

// ANCHOR: proof
fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => parent(),
        Some(Known::NAME) => {
            Known.run();
            Ok(())
        }
        // Forgotten has an implementation, but no arm here.
        Some(role) => bail!("unknown role {role:?}: expected \"known\""),
    }
}

fn parent() -> Result<()> {
    let known = run(&Known)?;
    let forgotten = run(&Forgotten)?;

    assert_eq!(known, (Some(0), String::new()));
    assert_eq!(forgotten.0, Some(1));
    assert!(forgotten.1.contains("unknown role \"forgotten\""));
    println!("known: {:?}, forgotten: {:?}", known.0, forgotten.0);
    Ok(())
}
// ANCHOR_END: proof

fn run<P: Process>(_: &P) -> Result<(Option<i32>, String)> {
    let output = Command::new(env::current_exe()?)
        .arg(P::NAME)
        .output()
        .with_context(|| format!("cannot run {}", P::NAME))?;
    let message = String::from_utf8(output.stderr)?;
    Ok((output.status.code(), message))
}
// ANCHOR_END: all
