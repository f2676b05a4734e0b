// ANCHOR: all
//! Shows that only the low eight bits of an exit code reach the parent.

use std::process::Command;
use std::{env, process};

use anyhow::{Context, Result, bail};

fn main() -> Result<()> {
    let mut args = env::args().skip(1);
    match args.next().as_deref() {
        None => parent(),
        Some("exit") => exit(args.next()),
        Some(role) => bail!("unknown role {role:?}: expected \"exit\""),
    }
}

// ANCHOR: parent
fn parent() -> Result<()> {
    for (sent, seen) in [(3, 3), (259, 3), (256, 0), (-1, 255)] {
        let status = Command::new(env::current_exe()?)
            .args(["exit", &sent.to_string()])
            .status()
            .context("cannot run the worker")?;
        assert_eq!(status.code(), Some(seen));
        println!("exit({sent}) is seen as {seen}");
    }
    Ok(())
}
// ANCHOR_END: parent

fn exit(arg: Option<String>) -> Result<()> {
    let arg = arg.context("\"exit\" needs an exit code")?;
    let code = arg
        .parse()
        .with_context(|| format!("{arg:?} is not a number"))?;
    process::exit(code)
}
// ANCHOR_END: all
