// ANCHOR: all
//! Solution: give workers of workers the names that Python gives them.

use std::env;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

fn main() -> Result<()> {
    if let Some(arg) = env::args().nth(1) {
        bail!("unknown argument {arg:?}: this program takes none");
    }
    limited(check)
}

// ANCHOR: task
/// The default name of a process's `count`-th worker. `parent` has the numbers
/// in the default name of that process: none for the main process, `[3]` for
/// `Process-3`, and `[3, 1]` for `Process-3:1`.
fn default_name(parent: &[u32], count: u32) -> String {
    let numbers = parent.iter().chain([&count]).map(u32::to_string);
    let numbers: Vec<String> = numbers.collect();
    format!("Process-{}", numbers.join(":"))
}
// ANCHOR_END: task

fn check() -> Result<()> {
    let cases: [(&[u32], u32, &str); 6] = [
        (&[], 1, "Process-1"),
        (&[], 12, "Process-12"),
        (&[8], 1, "Process-8:1"),
        (&[8, 1], 3, "Process-8:1:3"),
        (&[2, 1], 3, "Process-2:1:3"),
        (&[3, 10, 2, 1], 40, "Process-3:10:2:1:40"),
    ];
    for (parent, count, wanted) in cases {
        let found = default_name(parent, count);
        ensure!(
            found == wanted,
            "not solved yet: worker {count} of {parent:?} became {found}, \
             not {wanted}"
        );
    }
    println!("solved");
    Ok(())
}

/// Runs the check, and says so if it does not end.
fn limited(check: fn() -> Result<()>) -> Result<()> {
    let (sender, receiver) = mpsc::channel();
    thread::Builder::new()
        .spawn(move || sender.send(check()))
        .context("cannot start a thread")?;
    match receiver.recv_timeout(Duration::from_secs(10)) {
        Ok(result) => result,
        Err(RecvTimeoutError::Timeout) => bail!("not solved yet: it hangs"),
        Err(_) => bail!("not solved yet: it panicked"),
    }
}
// ANCHOR_END: all
