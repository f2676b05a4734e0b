// ANCHOR: all
//! Prints its own PID and the PID of its parent.

use std::os::unix::process::parent_id;
use std::{env, process};

use anyhow::{Result, bail};

fn main() -> Result<()> {
    if let Some(argument) = env::args().nth(1) {
        bail!("unknown argument {argument:?}: this program takes none");
    }
    println!("I am PID {}", process::id());
    println!("my parent is PID {}", parent_id());
    Ok(())
}
// ANCHOR_END: all
