// ANCHOR: all
//! Exercise: give workers of workers the names that Python gives them.

use std::env;

use anyhow::{Result, bail, ensure};

fn main() -> Result<()> {
    if let Some(arg) = env::args().nth(1) {
        bail!("unknown argument {arg:?}: this program takes none");
    }
    check()
}

// ANCHOR: task
/// The default name of a process's `count`-th worker. `parent` has the numbers
/// of the process itself: none for the main process, its count for a worker,
/// and for a worker's worker those of its parent before its own.
fn default_name(_parent: &[u32], count: u32) -> String {
    format!("Process-{count}")
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
// ANCHOR_END: all
