// ANCHOR: all
//! Panics in a forked child, and the parent's destructors run in the child.

use std::io::{PipeWriter, Read, Write};
use std::panic::{self, AssertUnwindSafe};
use std::{env, io, process};

use anyhow::{Context, Result, bail};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork};

/// Stands for anything that cleans up: deletes a file, kills a worker.
struct Guard {
    log: PipeWriter,
    owner: u32,
}

impl Drop for Guard {
    fn drop(&mut self) {
        let here = process::id() == self.owner;
        let place = if here {
            "in the parent, "
        } else {
            "in the child, "
        };
        let _ = self.log.write_all(place.as_bytes());
    }
}

fn main() -> Result<()> {
    if let Some(arg) = env::args().nth(1) {
        bail!("unknown argument {arg:?}: this program takes none");
    }
    // ANCHOR: proof
    let log = clean_ups_after(|| panic!("in the child"))?;
    assert_eq!(log, "in the child, in the parent, ");
    println!("panic:        {log:?}");

    let log = clean_ups_after(|| leave(|| panic!("in the child")))?;
    assert_eq!(log, "in the parent, ");
    println!("panic, leave: {log:?}");
    // ANCHOR_END: proof
    Ok(())
}

// ANCHOR: clean_ups_after
/// Forks while a guard is held, and returns what the guard wrote.
fn clean_ups_after(task: impl FnOnce()) -> Result<String> {
    let (mut reader, log) = io::pipe()?;
    let guard = Guard {
        log,
        owner: process::id(),
    };
    // SAFETY: this process has one thread, so its copy may run any code.
    match unsafe { fork() }.context("cannot fork")? {
        ForkResult::Child => {
            // The panic is the point, its message is not.
            panic::set_hook(Box::new(|_| {}));
            task();
            bail!("the task has returned")
        }
        ForkResult::Parent { child } => {
            // Before the read, so that the child writes first. A few words
            // fit into the pipe; a big result would have to be read first.
            let status = waitpid(child, None).context("cannot wait")?;
            assert_eq!(status, WaitStatus::Exited(child, 101));
        }
    }
    drop(guard);
    let mut log = String::new();
    reader.read_to_string(&mut log)?;
    Ok(log)
}
// ANCHOR_END: clean_ups_after

/// Ends a forked child, which must not return into its copy of the parent.
fn leave(task: impl FnOnce() -> Result<()>) -> ! {
    let code = panic::catch_unwind(AssertUnwindSafe(|| match task() {
        Ok(()) => 0,
        Err(error) => {
            let words = format!("Error: {error:#}\n");
            // `eprintln!` panics if nobody can read it.
            let _ = io::stderr().write_all(words.as_bytes());
            1
        }
    }));
    // SAFETY: _exit ends this process and touches no memory.
    unsafe { libc::_exit(code.unwrap_or(101)) }
}
// ANCHOR_END: all
