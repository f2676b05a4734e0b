// ANCHOR: all
//! Proves that Python's `empty()` can be true right after `put()` has returned.

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
import threading

pickling = threading.Event()

class Message:
    def __reduce__(self):
        pickling.wait()
        return (str, ("hello",))

queue = multiprocessing.Queue()
queue.put(Message())
print("put() has returned, empty():", queue.empty())
pickling.set()
print("get():", queue.get())
"#;

fn prove() -> Result<()> {
    let output = ask_python(SCRIPT)?;
    let (asked, received) = output.split_once('\n').context("one line")?;
    assert_eq!(asked, "put() has returned, empty(): True");
    assert_eq!(received, "get(): hello\n", "it was on its way");
    // ANCHOR_END: proof
    print!("{output}");
    Ok(())
}

fn ask_python(script: &str) -> Result<String> {
    let python = Command::new("python3")
        .args(["-c", script])
        .output()
        .context("cannot run python3, which this proof needs")?;
    let errors = String::from_utf8_lossy(&python.stderr);
    ensure!(python.status.success(), "the script failed: {errors}");
    Ok(String::from_utf8(python.stdout)?)
}
// ANCHOR_END: all
