// ANCHOR: all
//! Proves that Python's `empty()` can be true right after `put()` has returned.

use std::env;
use std::process::Command;

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
import threading

pickling = threading.Event()

class Message:
    def __reduce__(self):
        pickling.wait()
        return (str, ("hello",))

queue = multiprocessing.Queue()
queue.put(Message())
assert queue.empty(), "the message was there at once"
print("put() has returned, empty():", queue.empty())
pickling.set()
print("get():", queue.get())
"#;
// ANCHOR_END: proof

fn ask_python() -> Result<()> {
    let status = Command::new("python3")
        .args(["-c", SCRIPT])
        .status()
        .context("cannot run python3, which this proof needs")?;
    ensure!(status.success(), "the script ended with {status}");
    Ok(())
}
// ANCHOR_END: all
