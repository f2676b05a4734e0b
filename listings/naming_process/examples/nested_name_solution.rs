// ANCHOR: all
//! Solution: give workers of workers the names that Python gives them.

use std::env;

use anyhow::{Result, bail, ensure};

fn main() -> Result<()> {
    if let Some(arg) = env::args().nth(1) {
        bail!("unknown argument {arg:?}: this program takes none");
    }
    check()
}

// ANCHOR: task
/// The default name of a process's `count`-th worker.
fn default_name(parent: &str, count: u32) -> String {
    if parent.starts_with("Process-") {
        format!("{parent}:{count}")
    } else {
        format!("Process-{count}")
    }
}
// ANCHOR_END: task

fn check() -> Result<()> {
    for (parent, count, wanted) in [
        ("MainProcess", 1, "Process-1"),
        ("MainProcess", 12, "Process-12"),
        ("Process-8", 1, "Process-8:1"),
        ("Process-8:1", 3, "Process-8:1:3"),
    ] {
        let found = default_name(parent, count);
        ensure!(
            found == wanted,
            "not solved yet: worker {count} of {parent} became {found}, not \
             {wanted}"
        );
    }
    println!("solved");
    Ok(())
}
// ANCHOR_END: all
