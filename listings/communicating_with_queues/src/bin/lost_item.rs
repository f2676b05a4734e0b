// ANCHOR: all
//! Proves that Python's `put()` loses an item that cannot be pickled.

use std::env;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

fn main() -> Result<()> {
    if let Some(arg) = env::args().nth(1) {
        bail!("unknown argument {arg:?}: this program takes none");
    }
    ask_python()
}

// ANCHOR: proof
const SCRIPT: &str = r#"
import multiprocessing

queue = multiprocessing.Queue()
queue.put("first")
queue.put(lambda: "second")
queue.put("third")
received = [queue.get(), queue.get()]
assert received == ["first", "third"], received
print("put three, received:", received)
"#;
// ANCHOR_END: proof

fn ask_python() -> Result<()> {
    // Python writes a traceback about the lambda, and goes on.
    let status = Command::new("python3")
        .args(["-c", SCRIPT])
        .stderr(Stdio::null())
        .status()
        .context("cannot run python3, which this proof needs")?;
    ensure!(status.success(), "the script ended with {status}");
    Ok(())
}
// ANCHOR_END: all
