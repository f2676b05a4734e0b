// ANCHOR: all
//! Proves that Python's `put()` loses an item that cannot be pickled.

use std::env;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

fn main() -> Result<()> {
    if let Some(arg) = env::args().nth(1) {
        bail!("unknown argument {arg:?}: this program takes none");
    }
    prove()
}

// ANCHOR: proof
const SCRIPT: &str = r#"
import multiprocessing

queue = multiprocessing.Queue()
queue.put("first")
queue.put(lambda: "second")
queue.put("third")
print("put three, received:", [queue.get(), queue.get()])
"#;

fn prove() -> Result<()> {
    let output = ask_python(SCRIPT)?;
    assert_eq!(output, "put three, received: ['first', 'third']\n");
    // ANCHOR_END: proof
    print!("{output}");
    Ok(())
}

fn ask_python(script: &str) -> Result<String> {
    // Python writes a traceback about the lambda, and goes on.
    let python = Command::new("python3")
        .args(["-c", script])
        .output()
        .context("cannot run python3, which this proof needs")?;
    let errors = String::from_utf8_lossy(&python.stderr);
    ensure!(python.status.success(), "the script failed: {errors}");
    Ok(String::from_utf8(python.stdout)?)
}
// ANCHOR_END: all
